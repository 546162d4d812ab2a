// What all forms and buttons have in common.

import { currentView } from "./session.js";

export const $ = (id) => document.getElementById(id);

// Show one of the views. It gets the event `shown`, and the one before it `hidden`.
export function showView() {
  for (const view of document.querySelectorAll("main")) {
    const isHidden = view.id !== currentView();
    if (view.hidden === isHidden) continue;
    view.hidden = isHidden;
    view.dispatchEvent(new Event(isHidden ? "hidden" : "shown"));
  }
}

// Run an action; if it fails, show why. It may have ended the session.
export async function attempt(action, alert = $("error")) {
  alert.textContent = "";
  try {
    await action();
  } catch (error) {
    showView();
    alert.textContent = error.message;
    alert.scrollIntoView({ block: "nearest" });
  }
}

// Nothing is sent twice because somebody is impatient: the button waits for the answer.
async function attemptBy(button, action, alert) {
  if (button) button.disabled = true;
  await attempt(action, alert);
  if (button) button.disabled = false;
}

export function onClick(button, action, alert) {
  button.onclick = () => attemptBy(button, action, alert);
}

// The action gets the fields of the form, which is emptied after it has succeeded.
export function onSubmit(form, action, alert) {
  form.onsubmit = (event) => {
    event.preventDefault();
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
