FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY lib lib
COPY examples examples
COPY docs/*.mjs docs/
# What REDIS_URL and /metrics need is optional in the package, and so devDependencies: here they stay.
RUN npm run build \
  && for name in redis prom-client; do \
    npm pkg set "dependencies.$name=$(node -p "require('./package.json').devDependencies['$name']")" \
    && npm pkg delete "devDependencies.$name" || exit 1; \
  done \
  && npm prune --omit=dev --ignore-scripts

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY package.json LICENSE ./
USER node
EXPOSE 9000
# `||`, as an empty PORT counts as unset.
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 9000}/health`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# node itself as the first process: it must get the SIGTERM that lets streams finish.
ENTRYPOINT ["node", "dist/examples/server/main.js"]
