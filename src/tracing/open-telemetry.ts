import { AsyncLocalStorage } from 'node:async_hooks';
import {
  defaultTextMapGetter,
  defaultTextMapSetter,
  diag,
  DiagLogLevel,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
  type Tracer,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import {
  defaultResource,
  detectResources,
  resourceAttributesEnvDetector,
  serviceNameEnvDetector,
  resourceFromAttributes,
} from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { Config } from '../config/config.js';
import { tracePostgres } from './postgres-spans.js';
import { samplerOf } from './sampler.js';
import { type Headers, type SpanStart, traceWith, type Tracing } from './tracing.js';

/** What a collector that does not answer may add to the end of the process. */
const FLUSH_LIMIT_MS = 2_000;
/** Above the requests that may share a batch. */
const MOST_LINKS = 2_048;
const TROUBLE_PAUSE_MS = 60_000;

const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL };

/**
 * Makes this process trace and send its spans to `endpoint` by OTLP over HTTP. `warn` is told, at most once a minute, that
 * they do not arrive; they wait in a bounded queue and are then dropped. Returns what sends the last ones, within two
 * seconds. Nothing is registered with the OpenTelemetry API: no other package traces by it.
 */
export function startTracing(
  endpoint: URL,
  config: Pick<Config, 'OTEL_TRACES_SAMPLER' | 'OTEL_TRACES_SAMPLER_ARG'>,
  warn: (message: string) => void,
): () => Promise<void> {
  tellTrouble(warn);
  const provider = new TracerProvider({
    resource: defaultResource()
      .merge(resourceFromAttributes({ 'service.name': 'ordo', 'process.pid': process.pid }))
      .merge(detectResources({ detectors: [resourceAttributesEnvDetector, serviceNameEnvDetector] })),
    sampler: samplerOf(config),
    spanLimits: { linkCountLimit: MOST_LINKS },
    spanProcessors: [
      new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url: tracesUrl(endpoint) }) }),
    ],
  });
  traceWith(new SdkTracing(provider.getTracer('ordo')));
  tracePostgres();
  return async () => {
    const limit = new Promise((resolve) => setTimeout(resolve, FLUSH_LIMIT_MS));
    await Promise.race([provider.shutdown().catch(() => undefined), limit]);
  };
}

class SdkTracing implements Tracing {
  private readonly spans = new AsyncLocalStorage<Span | undefined>();
  private readonly propagator = new W3CTraceContextPropagator();

  constructor(private readonly tracer: Tracer) {}

  current(): Span | undefined {
    return this.spans.getStore();
  }

  begin(
    { name, kind = 'internal', attributes, links }: SpanStart,
    below?: Span | { headers: Headers },
  ): Span {
    const options = {
      kind: KINDS[kind],
      ...(attributes && { attributes }),
      ...(links && { links: [...links] }),
    };
    return this.tracer.startSpan(name, options, this.contextOf(below));
  }

  within<T>(span: Span | undefined, work: () => T): T {
    return this.spans.run(span, work);
  }

  fail(span: Span): void {
    span.setStatus({ code: SpanStatusCode.ERROR });
  }

  headersOf(span: Span): Record<string, string> {
    const headers: Record<string, string> = {};
    this.propagator.inject(trace.setSpan(ROOT_CONTEXT, span), headers, defaultTextMapSetter);
    return headers;
  }

  private contextOf(below: Span | { headers: Headers } | undefined) {
    if (below === undefined) return ROOT_CONTEXT;
    if ('headers' in below) {
      return this.propagator.extract(ROOT_CONTEXT, below.headers, defaultTextMapGetter);
    }
    return trace.setSpan(ROOT_CONTEXT, below);
  }
}

/** The path of the signal below the endpoint, as the specification of the exporter has it. */
function tracesUrl(endpoint: URL): string {
  const url = new URL(endpoint);
  url.pathname = `${url.pathname.replace(/\/$/, '')}/v1/traces`;
  return url.href;
}

/** Without the messages of the packages: they may quote the endpoint and what it answers. */
function tellTrouble(warn: (message: string) => void): void {
  let quietUntil = 0;
  const tell = () => {
    if (Date.now() < quietUntil) return;
    quietUntil = Date.now() + TROUBLE_PAUSE_MS;
    warn('Spans do not arrive where OTEL_EXPORTER_OTLP_ENDPOINT leads');
  };
  const ignore = () => undefined;
  const logger = { error: tell, warn: tell, info: ignore, debug: ignore, verbose: ignore };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
}
