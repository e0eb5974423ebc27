FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY lib lib
COPY examples examples
# The client for REDIS_URL is optional in the package, and so a devDependency: here it stays.
RUN npm run build \
  && npm pkg set "dependencies.redis=$(node -p 'require("./package.json").devDependencies.redis')" \
  && npm pkg delete devDependencies.redis \
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
