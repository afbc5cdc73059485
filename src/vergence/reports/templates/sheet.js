"use strict";
const sheet = JSON.parse(document.getElementById("content").textContent);
const place = name => document.getElementById(name);
const KEYS = "123456789qwertyuiopasdfghjklzxcvbnm";
const store = "vergence-answers-" + sheet.identity;
const named = at => JSON.stringify([sheet.questions[at][1], sheet.factors[sheet.questions[at][2]].name]);
let answers = {}, at = 0;
try { answers = JSON.parse(localStorage.getItem(store)) || {}; } catch (error) { say("This browser keeps no answers: download them before you leave."); }

function say(text) { place("said").textContent = text; }

function choicesOf(factor) {
  const own = factor.values.map(([value, shown], k) => ({ value, shown, key: KEYS[k] || "", apart: false }));
  return own.concat(
    { value: sheet.none, shown: "none of these", key: "0", apart: true },
    { value: sheet.cannotTell, shown: "cannot tell", key: "-", apart: true });
}

function show() {
  const [image, , of] = sheet.questions[at], factor = sheet.factors[of];
  const done = sheet.questions.filter((_, k) => named(k) in answers).length;
  place("image").src = sheet.images[image];
  place("question").textContent = factor.shown + ": what does the image show?";
  place("progress").textContent = "Question " + (at + 1) + " of " + sheet.questions.length + "; " + done + " answered";
  place("done").style.width = 100 * done / sheet.questions.length + "%";
  place("choices").replaceChildren(...choicesOf(factor).map(choice => {
    const button = document.createElement("button"), key = document.createElement("kbd");
    button.type = "button";
    button.className = choice.apart ? "apart" : "";
    button.setAttribute("aria-pressed", String(answers[named(at)] === choice.value));
    key.textContent = choice.key;
    button.append(key, choice.shown);
    button.addEventListener("click", () => answer(choice.value));
    return button;
  }));
  place("back").disabled = at === 0;
  place("skip").disabled = at === sheet.questions.length - 1;
  if (done === sheet.questions.length) say("All questions are answered: download the answers.");
}

function move(step) {
  at = Math.min(Math.max(at + step, 0), sheet.questions.length - 1);
  show();
}

function answer(value) {
  answers[named(at)] = value;
  try { localStorage.setItem(store, JSON.stringify(answers)); } catch (error) { say("This browser keeps no answers: download them before you leave."); }
  move(1);
}

function download() {
  const quoted = text => '"' + text.replaceAll('"', '""') + '"';
  const rows = sheet.questions.flatMap(([, key, of], k) =>
    named(k) in answers ? [[key, sheet.factors[of].name, answers[named(k)]].map(quoted).join(",")] : []);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([["key,factor,answer", ...rows, ""].join("\n")], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  say(rows.length + " answers downloaded; hand them to vergence label … --answers answers.csv");
}

document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "ArrowLeft") move(-1);
  else if (event.key === "ArrowRight") move(1);
  else {
    const choice = choicesOf(sheet.factors[sheet.questions[at][2]]).find(one => one.key && one.key === event.key.toLowerCase());
    if (!choice) return;
    answer(choice.value);
  }
  event.preventDefault();
});
place("back").addEventListener("click", () => move(-1));
place("skip").addEventListener("click", () => move(1));
place("download").addEventListener("click", download);
const open = sheet.questions.findIndex((_, k) => !(named(k) in answers));
at = open < 0 ? sheet.questions.length - 1 : open;
show();
