import { parser } from '@prometheus-io/lezer-promql';

/** A metric that an expression asks for, and the labels that it chooses by. */
export interface Selector {
  readonly metric: string;
  readonly labels: readonly string[];
}

/** Every selector of a PromQL expression; throws when it is none. */
export function readExpression(expression: string): Selector[] {
  const selectors: { metric: string; labels: string[] }[] = [];
  parser.parse(expression).iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`At ${node.from} this is no PromQL: ${expression}`);
      const text = expression.slice(node.from, node.to);
      if (node.name === 'Identifier' && node.matchContext(['VectorSelector'])) {
        selectors.push({ metric: text, labels: [] });
      }
      if (node.name === 'LabelName' && node.matchContext(['UnquotedLabelMatcher']))
        selectors.at(-1)?.labels.push(text);
    },
  });
  return selectors;
}
