// What all forms and buttons have in common.

import { currentView } from "./session.js";

export const $ = (id) => document.getElementById(id);

export function showView() {
  for (const view of document.querySelectorAll("main")) view.hidden = view.id !== currentView();
}

// Run an action; if it fails, show why. It may have ended the session.
export async function attempt(action, alert = $("error")) {
  alert.textContent = "";
  try {
    await action();
  } catch (error) {
    alert.textContent = error.message;
    alert.scrollIntoView({ block: "nearest" });
    showView();
  }
}

// Nothing is sent twice because somebody is impatient: the button waits for the answer.
async function attemptBy(button, action, alert) {
  if (button) button.disabled = true;
  await attempt(action, alert);
  if (button) button.disabled = false;
}

export function onClick(id, action) {
  $(id).onclick = (event) => attemptBy(event.currentTarget, action);
}

// The action gets the fields of the form, which is emptied after it has succeeded.
export function onSubmit(id, action, alert) {
  $(id).onsubmit = (event) => {
    event.preventDefault();
    const form = event.target;
    const fields = Object.fromEntries(new FormData(form));
    attemptBy(
      event.submitter,
      async () => {
        await action(fields);
        form.reset();
      },
      alert,
    );
  };
}
