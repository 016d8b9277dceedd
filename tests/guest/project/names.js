// A CommonJS-free module with a default and a re-export.
export default function tag(strings, ...values) { return strings.raw.join("|") + values.map(v => v ** 2); }
export { LIMIT as limit } from "./math";
var legacy = function () { label: for (;;) { switch (typeof legacy) { case "function": break label; default: continue label; } } };
legacy();
