// Entry of the project that esbuild bundles in the tests.
import { fibonacci, Matrix } from "./math";
import { render } from "./view";
import data from "./data.json";
import * as names from "./names";

enum Level { Low = 1, High = Low << 4, Named = "named".length }

class Counter<T extends { weight: number }> {
  #items: T[] = [];
  static created = 0;
  constructor(readonly label: string) { Counter.created++; }
  add(...items: T[]): this { this.#items.push(...items); return this; }
  get total(): number { return this.#items.reduce((sum, i) => sum + (i?.weight ?? 0), 0); }
  async *walk() { for (const item of this.#items) yield await Promise.resolve(item); }
}

const counter = new Counter<{ weight: number }>("α ünïcode ✓").add({ weight: data.weights[0] }, { weight: 1e21 });
export const page = render(<main class="big" data-level={Level.High}>{data.title} {counter.total} {fibonacci(20)}</main>);
console.log(page, Matrix.identity(3).trace(), names.default`tagged ${1 + 1} text`, /[a-z]+(?<year>\d{4})/u.test("x2026"));
if (process.env.NODE_ENV !== "production") console.debug(0.1 + 0.2, 123456789012345678901234567890n, -0, 1 / 3);
