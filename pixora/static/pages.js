// Password fields: a button that shows what is typed, and advice while typing. The pages work without this file too.
"use strict";

const field = document.querySelector("input[type=password]");
const advice = document.getElementById("advice");

if (field) {
  addButton(field);
}
if (field && advice) {
  addAdvice(field, advice);
}

function addButton(field) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "show";
  button.setAttribute("aria-controls", field.id);
  const show = (isShown) => {
    field.type = isShown ? "text" : "password";
    button.textContent = isShown ? field.dataset.hide : field.dataset.show;
  };
  button.addEventListener("click", () => show(field.type === "password"));
  // A browser remembers what is typed into a field for text.
  field.form.addEventListener("submit", () => show(false));
  show(false);
  field.parentElement.append(button);
}

function addAdvice(field, advice) {
  const email = document.getElementById("email");
  const words = wordsOf(`${email ? email.value : ""} ${advice.dataset.service}`);
  let timer;
  field.addEventListener("input", () => {
    clearTimeout(timer);
    // A screen reader reads each change aloud: wait for a pause.
    timer = setTimeout(() => {
      advice.textContent = adviceOn(field.value, words, advice.dataset);
    }, 300);
  });
}

// The full check is at the server, when the form is sent: it takes dictionaries, and is limited.
function adviceOn(password, words, texts) {
  const characters = [...password];
  const missing = Number(texts.min) - characters.length;
  if (characters.length === 0) {
    return "";
  }
  if (new TextEncoder().encode(password).length > Number(texts.max)) {
    return texts.long;
  }
  if (missing > 0) {
    return texts.few.replace("#", missing);
  }
  if (new Set(password.toLowerCase()).size < 5) {
    return texts.repeated;
  }
  return isKnown(password, words) ? texts.known : texts.good;
}

function isKnown(password, words) {
  const rest = words.reduce((text, word) => text.replaceAll(word, " "), password.toLowerCase());
  return !/\p{L}/u.test(rest);
}

function wordsOf(text) {
  const words = text.toLowerCase().split(/[^\p{L}]+/u).filter((word) => word);
  return words.sort((one, other) => other.length - one.length);
}
