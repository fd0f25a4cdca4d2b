// Finds the SQL texts of TypeScript sources and works out what they are when they run.
import ts from 'typescript';

// Relative imports alone: with the types of all packages it would take five times as long.
const options = {
  noLib: true,
  noResolve: true,
  types: [],
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2024,
  experimentalDecorators: true,
};

const SQL =
  /^\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE INTO|WITH|SET|BEGIN|GRANT|CREATE|ALTER|DROP)\s/;

class Composed extends Error {}

/**
 * The texts that these files give to `.query(`, `new Statement(` and `new KeysetQuery(`. `text` is undefined where it is
 * composed at run time of more than constants: `pattern` then matches what comes of it, as far as the source tells.
 * `values` is how many values go with it, where they are listed. What only reads like SQL is answered as composed, unless
 * it is a part of another text or runs through variables and parameters into one.
 */
export function findTexts(files) {
  const program = ts.createProgram(files, options);
  const checker = program.getTypeChecker();
  const nodes = files.flatMap((file) => [...descendants(program.getSourceFile(file))]);
  const calls = Map.groupBy(nodes.filter(isCall), nameOf);
  const reached = new Set();

  /** All that an expression can come to. `chosen` is by which call each function was entered on the way. */
  function* evaluate(node, chosen) {
    const type = checker.getTypeAtLocation(node);
    if (isLiteralPart(node)) {
      reached.add(node);
      yield { text: node.text, chosen, node };
    } else if (type.flags & ts.TypeFlags.NumberLike) {
      yield { text: String(type.value ?? 1), chosen, node };
    } else if (ts.isTemplateExpression(node)) {
      reached.add(node);
      const parts = node.templateSpans.flatMap(({ expression, literal }) => [expression, literal]);
      yield* joined([node.head, ...parts], chosen, node);
    } else if (ts.isConditionalExpression(node)) {
      yield* evaluate(node.whenTrue, chosen);
      yield* evaluate(node.whenFalse, chosen);
    } else {
      yield* declared(node, chosen);
    }
  }

  function* joined([first, ...rest], chosen, node) {
    for (const head of evaluate(first, chosen)) {
      const tails = rest.length > 0 ? joined(rest, head.chosen, node) : [{ text: '', chosen: head.chosen }];
      for (const tail of tails) yield { text: head.text + tail.text, chosen: tail.chosen, node };
    }
  }

  function* declared(node, chosen) {
    const declaration = declarationOf(node);
    if (declaration && ts.isParameter(declaration)) yield* given(declaration, chosen);
    else if (declaration?.initializer && isConstant(declaration))
      yield* evaluate(declaration.initializer, chosen);
    else throw new Composed();
  }

  /** What a parameter is in the call that was chosen, or in all of them, one after the other. */
  function* given(parameter, chosen) {
    const callee = parameter.parent;
    const index = callee.parameters.indexOf(parameter);
    const entries = chosen.get(callee) ? [chosen.get(callee)] : callsOf(callee);
    if (entries.length === 0) throw new Composed();
    for (const call of entries) {
      const argument = call.arguments?.[index] ?? parameter.initializer;
      if (argument === undefined) throw new Composed();
      yield* evaluate(argument, new Map(chosen).set(callee, call));
    }
  }

  function callsOf(callee) {
    const isConstructor = ts.isConstructorDeclaration(callee);
    const name = (isConstructor || callee.name ? callee : callee.parent).name ?? callee.parent.name;
    const found = [...(calls.get(name?.text) ?? []), ...(isConstructor ? (calls.get('super') ?? []) : [])];
    return found.filter(
      (call) =>
        checker.getResolvedSignature(call)?.declaration === callee &&
        ts.findAncestor(call, (outer) => outer === callee) === undefined,
    );
  }

  function declarationOf(node) {
    const symbol = checker.getSymbolAtLocation(ts.isPropertyAccessExpression(node) ? node.name : node);
    const isAlias = symbol !== undefined && symbol.flags & ts.SymbolFlags.Alias;
    return (isAlias ? checker.getAliasedSymbol(symbol) : symbol)?.valueDeclaration;
  }

  /** How many values a text goes with: those of the query, or of the runs of a statement. */
  function valuesOf(call) {
    if (ts.isCallExpression(call)) return call.arguments.length > 1 ? lengthOf(call.arguments[1]) : 0;
    const isRun = ({ expression: { expression: statement } }) =>
      statement !== undefined && declarationOf(statement)?.initializer === call;
    const runs = (calls.get('run') ?? []).filter(isRun);
    return runs.map((run) => lengthOf(run.arguments[1])).find((length) => length !== undefined);
  }

  const texts = nodes.filter(isCall).flatMap((call) => {
    const argument = call.arguments?.[textArguments[nameOf(call)]];
    if (argument === undefined) return [];
    try {
      const found = [...evaluate(argument, new Map())].filter(({ text }) => text !== '');
      return found.map(({ text, node }) => ({ ...placeOf(node), text, values: valuesOf(call) }));
    } catch (error) {
      if (error instanceof Composed) return [composed(argument)];
      throw error;
    }
  });
  const loose = nodes.filter(
    (node) => isText(node) && SQL.test(node.text ?? node.head.text) && !reached.has(node),
  );
  return [...texts, ...loose.map(composed)];
}

/** Which argument is SQL, or what it is made from. */
const textArguments = { query: 0, Statement: 1, KeysetQuery: 0 };

function composed(node) {
  const parts = ts.isTemplateExpression(node)
    ? [node.head, ...node.templateSpans.map(({ literal }) => literal)].map(({ text }) => RegExp.escape(text))
    : [isText(node) ? RegExp.escape(node.text) : ''];
  return { ...placeOf(node), text: undefined, pattern: new RegExp(parts.join('[^]*')) };
}

function placeOf(node) {
  const source = node.getSourceFile();
  const { line } = source.getLineAndCharacterOfPosition(node.getStart());
  const [start] = node.getText().split('\n');
  return { file: source.fileName, line: line + 1, start };
}

function* descendants(node) {
  yield node;
  const children = [];
  ts.forEachChild(node, (child) => void children.push(child));
  for (const child of children) yield* descendants(child);
}

function isCall(node) {
  return ts.isCallExpression(node) || ts.isNewExpression(node);
}

/** The last name of what is called: `query` of `this.dataSource.query(...)`. */
function nameOf({ expression }) {
  return expression.kind === ts.SyntaxKind.SuperKeyword ? 'super' : (expression.name ?? expression).text;
}

function isText(node) {
  return ts.isStringLiteralLike(node) || ts.isTemplateExpression(node);
}

function isLiteralPart(node) {
  return ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
}

function isConstant(declaration) {
  return ts.isVariableDeclaration(declaration)
    ? Boolean(ts.getCombinedNodeFlags(declaration) & ts.NodeFlags.Const)
    : Boolean(ts.getCombinedModifierFlags(declaration) & ts.ModifierFlags.Readonly);
}

function lengthOf(node) {
  const isList = ts.isArrayLiteralExpression(node) && !node.elements.some(ts.isSpreadElement);
  return isList ? node.elements.length : undefined;
}
