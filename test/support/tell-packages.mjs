// Loaded before a program (`--import`): tells of each file of OpenTelemetry that the program loads.
import { registerHooks } from 'node:module';

registerHooks({
  load(url, context, nextLoad) {
    const [, name] = /\/node_modules\/(@opentelemetry\/[^/]+)\//.exec(url) ?? [];
    if (name !== undefined) process.stderr.write(`loads ${name}\n`);
    return nextLoad(url, context);
  },
});
