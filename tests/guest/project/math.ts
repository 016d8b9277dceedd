// Numbers: constants are folded, unused exports are dropped.
export const LIMIT = 2 ** 10 + 0xff;
export function fibonacci(n: number): number { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
export function unused(): string { return "tree shaking removes me"; }
export class Matrix {
  private constructor(private readonly rows: number[][]) {}
  static identity(n: number): Matrix {
    return new Matrix(Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => (i === j ? 1 : 0))));
  }
  trace(): number { let sum = 0; for (let i = 0; i < this.rows.length; i++) sum += this.rows[i]![i]!; return sum; }
}
