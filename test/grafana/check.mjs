// Holds the generated dashboards to Grafana's own types: each becomes TypeScript, which the compiler checks against @grafana/schema of Grafana 11 and 12.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const here = dirname(fileURLToPath(import.meta.url));
const dashboards = join(here, '../../dashboards/grafana');
const folders = { stat: 'stat', timeseries: 'timeseries', table: 'table', barchart: 'barchart', piechart: 'piechart', 'state-timeline': 'statetimeline', nodeGraph: 'nodegraph', text: 'text' };
const withFields = new Set(['timeseries', 'table', 'barchart', 'piechart', 'state-timeline']); // whose field options have a type

// typesOf finds the file of a panel's types, whose place and name are other in each version.
function typesOf(schema, folder) {
  for (const top of ['types', 'esm']) {
    const dir = join(here, 'node_modules', schema, 'dist', top, 'raw/composable', folder, 'panelcfg/x');
    const file = existsSync(dir) && readdirSync(dir).find(f => f.endsWith('types.gen.d.ts'));
    if (file) return join(dir, file.replace(/\.d\.ts$/, ''));
  }
  throw new Error(`${schema} has no types of ${folder}`);
}

// source is a TypeScript file with a constant for each panel's options, each panel's field options, and the rest of each dashboard.
function source(schema) {
  // An enum's value is written as its text in JSON.
  const lines = ['type AsJSON<T> = T extends string ? `${T}` : T extends number | boolean | null | undefined ? T : T extends (infer U)[] ? AsJSON<U>[] : T extends object ? { [K in keyof T]: AsJSON<T[K]> } : T;',
    `import type { Dashboard } from '${schema}';`, ...Object.values(folders).map(f => `import type * as ${f} from '${typesOf(schema, f)}';`)];
  let n = 0;
  const say = (type, value) => lines.push(`export const c${n++}: AsJSON<Partial<${type}>> = ${JSON.stringify(value)};`);
  for (const file of readdirSync(dashboards)) {
    const { panels, templating, ...rest } = JSON.parse(readFileSync(join(dashboards, file)));
    for (const p of panels.filter(p => p.type !== 'row')) {
      if (!folders[p.type]) throw new Error(`${file}: panel ${p.title}: nobody knows the type ${p.type}`);
      lines.push(`// ${file}: ${p.title}`);
      say(`${folders[p.type]}.Options`, p.options);
      const custom = p.fieldConfig?.defaults?.custom;
      if (custom && withFields.has(p.type)) say(`${folders[p.type]}.FieldConfig`, custom);
    }
    lines.push(`// ${file}`);
    say('Dashboard', rest);
  }
  return { text: lines.join('\n'), n };
}

let wrong = 0;
for (const schema of ['schema-11', 'schema-12']) {
  const { text, n } = source(schema);
  const name = join(here, `${schema}.ts`);
  const options = { strict: true, noEmit: true, skipLibCheck: true, target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, types: [] };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.getSourceFile = (file, ...more) => (file === name ? ts.createSourceFile(file, text, options.target) : getSourceFile.call(host, file, ...more));
  host.fileExists = file => file === name || fileExists.call(host, file);
  const found = ts.getPreEmitDiagnostics(ts.createProgram([name], options, host));
  for (const d of found) {
    const line = d.file?.fileName === name ? d.file.getLineAndCharacterOfPosition(d.start).line : 0;
    const all = text.split('\n');
    let at = line;
    while (at > 0 && !all[at].startsWith('//')) at--;
    console.log(`${schema}: ${all[at].slice(3)}: ${ts.flattenDiagnosticMessageText(d.messageText, ' ').slice(0, 300)}`);
  }
  wrong += found.length;
  console.log(`${schema}: ${n} values checked, ${found.length} wrong`);
}
process.exit(wrong ? 1 : 0);
