# The image of Ordo: Node.js without a shell or a package manager, what production needs, and nobody but uid 65532.
#
#   docker build --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" -t ordo:0.1.0 .
#
# A registry of packages other than npm's is told by a secret, which no layer keeps: --secret id=npmrc,src=$HOME/.npmrc
ARG NODE_IMAGE=docker.io/library/node:24-bookworm-slim
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs24-debian12:nonroot

# Nothing that a package brings along is run while the image is made: neither the compiler nor argon2 needs it.
FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
  npm ci --ignore-scripts --no-audit --no-fund
COPY nest-cli.json tsconfig.json tsconfig.build.json ./
COPY scripts/build-if-stale.mjs scripts/
COPY src src
COPY migrations migrations
RUN npm run build && rm dist/.sources && mkdir /compile-cache

# Type declarations, source maps and the builds for browsers are half of the packages, and the compiler is there only
# because @nestjs/swagger can use one.
FROM ${NODE_IMAGE} AS production
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc \
  npm ci --ignore-scripts --no-audit --no-fund --omit=dev \
  && find node_modules -type f -regex '.*\.\(map\|d\.[cm]?ts\)' -delete \
  && rm -r node_modules/typescript node_modules/typeorm/browser
# What there is now. (From the lock file npm would leave out packages that others want as peers.)
RUN npm pkg delete devDependencies && npm sbom --sbom-format=cyclonedx > sbom.cdx.json

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.0.0-unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Ordo" \
  org.opencontainers.image.description="Users, orders and an audit trail, as one backend service." \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}"

WORKDIR /app
COPY --from=production /app/node_modules node_modules
COPY --from=production /app/sbom.cdx.json ./
COPY --from=build /app/dist dist
COPY package.json openapi.json LICENSE ./

# The heap follows the memory limit of the container; the rest is for buffers, passwords that are hashed, and the stack.
ENV NODE_ENV=production \
  NODE_OPTIONS=--max-old-space-size-percentage=75
USER 65532:65532
# What a start would compile each time anew where the file system is read-only: as this user, and with these options, or
# Node.js does not take it.
COPY --from=build --chown=65532:65532 /compile-cache dist/.compile-cache
RUN ["/nodejs/bin/node", "--eval", "const m = require('node:module'); m.enableCompileCache('/app/dist/.compile-cache'); import('/app/dist/src/run.js').then(() => import('/app/dist/src/serve.js')).then(() => m.flushCompileCache())"]
EXPOSE 3000 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
  CMD ["/nodejs/bin/node", "dist/src/cli/health.js"]
ENTRYPOINT ["/nodejs/bin/node"]
CMD ["dist/src/main.js"]
