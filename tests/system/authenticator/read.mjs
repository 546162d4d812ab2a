// Prints the text of a QR code, drawn as SVG in lines that are one module high: node read.mjs < FILE
import { readFileSync } from "node:fs";
import jsQR from "jsqr";

const svg = readFileSync(0, "utf8");
const side = Number(svg.match(/viewBox="0 0 (\d+) \1"/)[1]);
const scale = Number(svg.match(/transform="scale\((\d+)\)"/)[1]);
const pixels = new Uint8ClampedArray(side * side * 4).fill(255);
let x = 0, y = 0;
for (const [, command, first, second] of svg.match(/ d="([^"]+)"/)[1].matchAll(/([Mmh])(-?[\d.]+)(?: ?(-?[\d.]+))?/g)) {
  if (command === "M") [x, y] = [Number(first), Number(second)];
  if (command === "m") [x, y] = [x + Number(first), y + Number(second)];
  if (command !== "h") continue;
  for (let row = (y - 0.5) * scale; row < (y + 0.5) * scale; row += 1)
    for (let column = x * scale; column < (x + Number(first)) * scale; column += 1) pixels.set([0, 0, 0], (row * side + column) * 4);
  x += Number(first);
}
console.log(jsQR(pixels, side, side).data);
