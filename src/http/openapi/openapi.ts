import { swagger } from '@elysiajs/swagger'
import { Elysia } from 'elysia'
import type { OpenAPIV3 } from 'openapi-types'
import scalarPath from '../../../node_modules/@scalar/api-reference/dist/browser/standalone.js' with {
  type: 'file',
}

import { complete, SECURITY_SCHEMES, TAGS } from './document.ts'

/** What the document needs besides the routes of Elysia. */
interface OpenApiOptions {
  /** The paths of `/v2` and `/v1`, each of which is one wildcard route in Elysia. */
  paths: OpenAPIV3.PathsObject
  /** cay's version. */
  version: string
}

/** The hash of the content of the script element that holds Scalar's settings. */
const emptyScript = new Bun.CryptoHasher('sha256').update('\n    ').digest('base64')

/** Allows content from this host only: no font, script, image or request elsewhere. */
const contentSecurityPolicy = [
  "default-src 'none'",
  `script-src 'self' 'sha256-${emptyScript}'`,
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Scalar's settings. Everything that calls or links to the vendor's services is switched off. */
const scalarConfig = {
  spec: { url: '/swagger/json' },
  theme: 'default',
  customCss: '',
  favicon: 'data:,',
  defaultOpenAllTags: true,
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: 'never',
  agent: { disabled: true },
  mcp: { disabled: true },
} as const

const DESCRIPTION = `A private OCI registry and image cache.

Authenticate requests to \`/api/v1\` with Basic, with a token as Bearer, or with a browser session. Write the slashes of a
repository name in a path as \`%2F\`. Lists are paginated: pass \`nextCursor\` of a page as \`cursor\` to get the next page. Resources
with an entity tag support \`If-Match\` and \`If-None-Match\`. Errors are problem details (RFC 9457); \`/problems\` lists their
codes.`

/** Serves the API reference at `/swagger`, its script, and the OpenAPI 3 document at `/swagger/json`. */
export function openapi(options: OpenApiOptions) {
  const info = { title: 'cay', version: options.version, description: DESCRIPTION }
  let script: Promise<Script> | undefined
  let document: OpenAPIV3.Document | undefined
  return new Elysia({ name: 'openapi' })
    .onBeforeHandle(({ set }) => {
      set.headers['content-security-policy'] = contentSecurityPolicy
      set.headers['x-content-type-options'] = 'nosniff'
      set.headers['referrer-policy'] = 'no-referrer'
      set.headers['cache-control'] = 'no-cache'
    })
    .onAfterHandle(({ path, response }) => {
      if (path !== '/swagger/json') return undefined
      // The response shares its schemas with request validation, so a copy is completed.
      document ??= complete(JSON.parse(JSON.stringify(response)))
      return document
    })
    .use(
      swagger({
        documentation: {
          info,
          tags: TAGS,
          // Relative, so that it is right behind a proxy and under any name.
          servers: [{ url: '/', description: 'This server' }],
          paths: options.paths,
          components: { securitySchemes: SECURITY_SCHEMES },
        },
        exclude: /^\/v2(\/|$)/,
        scalarCDN: '/swagger/scalar.js',
        scalarConfig,
      }),
    )
    .get(
      '/swagger/scalar.js',
      async ({ request }) => {
        script ??= loadScript()
        return answerScript(await script, request.headers)
      },
      { detail: { hide: true } },
    )
}

interface Script {
  gzip: Uint8Array<ArrayBuffer>
  etag: string
}

/** Loads the script. The build compresses it for the executable; when run from source, it is compressed here. */
async function loadScript(): Promise<Script> {
  const bytes = await Bun.file(scalarPath).bytes()
  const gzip = bytes[0] === 0x1f && bytes[1] === 0x8b ? bytes : Bun.gzipSync(bytes)
  const etag = `"${new Bun.CryptoHasher('sha256').update(gzip).digest('hex').slice(0, 32)}"`
  return { gzip, etag }
}

/** Returns the script, always compressed, since only browsers request it; 304 if the client has it. */
function answerScript({ gzip, etag }: Script, headers: Headers): Response {
  if (headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers: { etag } })
  const type = { 'content-type': 'text/javascript; charset=utf-8', 'content-encoding': 'gzip' }
  return new Response(gzip, { headers: { ...type, etag } })
}
