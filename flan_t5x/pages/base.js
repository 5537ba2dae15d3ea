"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);

// Every text goes into the page as text, never as markup.
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

const number = (value) => value.toLocaleString("en");
const percent = (value) => (value === 0 ? "0" : value < 0.00995 ? (100 * value).toPrecision(2) : (100 * value).toFixed(value < 0.0995 ? 2 : 1)) + " %";
