// Asks for the page anew and puts it in place of the old one; what has the focus keeps it.
"use strict";
const seconds = Number(document.currentScript.dataset.seconds);
async function anew() {
  try {
    const answer = await fetch(location.href, {cache: "no-store"});
    if (answer.status === 401 || answer.status === 403) { location.reload(); return; }
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focused = document.activeElement;
    const scrolled = [...document.querySelectorAll(".wide")].map((one) => one.scrollLeft);
    const [before, now] = [document, page].map((one) => one.querySelector(".count").textContent);
    // It stays in the page: what is put there is read aloud.
    if (before !== now) document.getElementById("said").textContent = now;
    document.title = page.title;
    document.getElementById("board").replaceWith(page.getElementById("board"));
    document.querySelectorAll(".wide").forEach((one, number) => { one.scrollLeft = scrolled[number] || 0; });
    const again = focused && focused.id && document.getElementById(focused.id);
    if (again) again.focus({preventScroll: true});
  } catch (error) {
    document.getElementById("lost").textContent =
      "Stale: the board itself does not answer; all of this is as it was at the time above.";
  }
}
setInterval(anew, 1000 * seconds);
