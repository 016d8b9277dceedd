// A stand-in for a view library.
type Node = { tag: string; props: Record<string, unknown> | null; children: unknown[] };
export const React = { createElement: (tag: string, props: Node["props"], ...children: unknown[]): Node => ({ tag, props, children }) };
(globalThis as any).React = React;
export function render({ tag, props, children }: any): string {
  const attributes = Object.entries(props ?? {}).map(([k, v]) => ` ${k}="${v}"`).join("");
  return `<${tag}${attributes}>${children.join("")}</${tag}>`;
}
