import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import type { Manifest } from './manifests.js';

const FILE = fileURLToPath(new URL('manifests-as-literals.ts', import.meta.url));

const PACKAGES: Record<string, string> = {
  'gateway.networking.k8s.io': '@kubernetes-models/gateway-api',
  'monitoring.coreos.com': '@kubernetes-models/prometheus-operator',
  'postgresql.cnpg.io': '@kubernetes-models/cloudnative-pg',
};

const OPTIONS: ts.CompilerOptions = {
  module: ts.ModuleKind.NodeNext,
  target: ts.ScriptTarget.ES2024,
  types: [],
  strict: true,
  noEmit: true,
  skipLibCheck: true,
};

/**
 * What the compiler says about the manifests as literals of their types: a literal may have no member that its type does
 * not know, however deep, so that a mistyped field is found. One line each, beginning with kind and name.
 */
export function typeErrors(manifests: readonly Manifest[]): string[] {
  const lines = manifests.map(({ apiVersion, kind, ...rest }, index) => {
    const [group = ''] = apiVersion.split('/');
    const path = `${PACKAGES[group] ?? 'kubernetes-models'}/${apiVersion}/${kind}`;
    const literal = JSON.stringify({ apiVersion, kind, ...rest });
    return `export const m${index}: import('${path}').I${kind} = ${literal};`;
  });
  const source = ts.createSourceFile(FILE, lines.join('\n'), ts.ScriptTarget.ES2024);
  const host = ts.createCompilerHost(OPTIONS);
  const { getSourceFile, fileExists } = host;
  host.getSourceFile = (name, ...rest) => (name === FILE ? source : getSourceFile.call(host, name, ...rest));
  host.fileExists = (name) => name === FILE || fileExists.call(host, name);
  const program = ts.createProgram([FILE], OPTIONS, host);
  return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
    ({ start = 0, messageText }) => {
      const manifest = manifests[source.getLineAndCharacterOfPosition(start).line];
      const name = `${manifest?.kind ?? ''} ${manifest?.metadata?.name ?? ''}`;
      return `${name}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    },
  );
}
