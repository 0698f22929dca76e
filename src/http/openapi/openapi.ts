import { swagger } from '@elysiajs/swagger'
import { Elysia } from 'elysia'
import type { OpenAPIV3 } from 'openapi-types'
import scalarPath from '../../../node_modules/@scalar/api-reference/dist/browser/standalone.js' with {
  type: 'file',
}

import { complete, SECURITY_SCHEMES, TAGS } from './document.ts'

/** What the page of the API describes beyond the routes that Elysia knows. */
interface OpenApiOptions {
  /** The paths of `/v2`, which are one wildcard to Elysia. */
  paths: OpenAPIV3.PathsObject
  /** cay's version. */
  version: string
}

/** What the plugin writes between the tags of the script element that holds Scalar's settings. */
const emptyScript = new Bun.CryptoHasher('sha256').update('\n    ').digest('base64')

/** Everything comes from this host, and the browser sees to it: no font, script, picture or call from elsewhere. */
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

/** Scalar's settings: nothing that speaks to, or sends a person to, its makers' services. */
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

Requests to \`/api/v1\` sign in by Basic, with a token as Bearer, or by the session of a browser. A repository's name is one
part of a path, with \`%2F\` for its slashes. Lists have pages: \`next\` of an answer is \`last\` of the request for the next one.
What has an entity tag heeds \`If-Match\` and \`If-None-Match\`. Errors are problems (RFC 9457); \`/problems\` lists their codes.`

/** Serves the page of the API at `/swagger`, its OpenAPI 3 document at `/swagger/json`, and the script of the page. */
export function openapi(options: OpenApiOptions) {
  const info = {
    title: 'cay',
    version: options.version,
    description: DESCRIPTION,
  }
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
      // The plugin answers with the schemas that requests are validated by: those stay as they are.
      document ??= complete(JSON.parse(JSON.stringify(response)))
      return document
    })
    .use(
      swagger({
        documentation: {
          info,
          tags: TAGS,
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

/** The script as the executable has it, compressed by the build; from source it is compressed here. */
async function loadScript(): Promise<Script> {
  const bytes = await Bun.file(scalarPath).bytes()
  const gzip = bytes[0] === 0x1f && bytes[1] === 0x8b ? bytes : Bun.gzipSync(bytes)
  const etag = `"${new Bun.CryptoHasher('sha256').update(gzip).digest('hex').slice(0, 32)}"`
  return { gzip, etag }
}

/** Always compressed, as only browsers ask for it, and at once for one that has it (RFC 9110, 13.1.2). */
function answerScript({ gzip, etag }: Script, headers: Headers): Response {
  if (headers.get('if-none-match') === etag) return new Response(null, { status: 304, headers: { etag } })
  const type = { 'content-type': 'text/javascript; charset=utf-8', 'content-encoding': 'gzip' }
  return new Response(gzip, { headers: { ...type, etag } })
}
