import { join } from 'node:path'
import { isKnown } from '../http/origin.ts'
import shellPath from '../page/shell.html' with { type: 'file' }

/** Allows only what this server sends: no inline script or style, no other host, no frame, and no HTML from strings. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ')

const headers = {
  'content-security-policy': contentSecurityPolicy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  vary: 'accept-encoding',
}

/** An asset as it is served. */
interface Served extends Asset {
  /** Its entity tag. */
  hash: string
}

/** Serves the web page: the shell for each of its paths, and its assets, whose names contain a hash. */
export async function webPage(): Promise<{ handle(request: Request): Response }> {
  const assets = new Map((await loadAssets()).map((asset) => [asset.path, tag(asset)]))
  return {
    handle(request) {
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        return new Response('method not allowed\n', {
          status: 405,
          headers: { ...headers, allow: 'GET, HEAD' },
        })
      }
      const { pathname } = new URL(request.url)
      const isAsset = pathname.startsWith('/assets/')
      const asset = assets.get(isAsset ? pathname : '/')
      if (asset === undefined) return new Response('not found\n', { status: 404, headers })
      return answer(request, asset, isAsset ? 'public, max-age=31536000, immutable' : 'no-cache')
    },
  }
}

/** Reads the assets of the executable, or bundles them when run from source. */
async function loadAssets(): Promise<Asset[]> {
  const text = await Bun.file(shellPath).text()
  return text.startsWith('[') ? unpackAssets(text) : await bundlePage(shellPath)
}

function tag(asset: Asset): Served {
  const hash = new Bun.CryptoHasher('sha256').update(asset.gzip).digest('hex')
  return { ...asset, hash: hash.slice(0, 32) }
}

function answer(request: Request, { type, gzip, hash }: Served, cacheControl: string): Response {
  const named = { ...headers, etag: `"${hash}"`, 'cache-control': cacheControl }
  if (isKnown(request, hash)) return new Response(null, { status: 304, headers: named })
  const isGzip = /\bgzip\b/.test(request.headers.get('accept-encoding') ?? '')
  const body = isGzip ? gzip : Bun.gunzipSync(gzip)
  return new Response(request.method === 'HEAD' ? null : body, {
    headers: {
      ...named,
      'content-type': type,
      'content-length': String(body.length),
      ...(isGzip && { 'content-encoding': 'gzip' }),
    },
  })
}

/** A file of the page, compressed with gzip. */
interface Asset {
  /** The path under which it is served: `/` for the shell, `/assets/NAME-HASH.EXT` for the rest. */
  path: string
  type: string
  gzip: Uint8Array<ArrayBuffer>
}

const types: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** Returns how the page whose shell is this HTML file is bundled. Names contain a hash of the content. */
export function pageBuild(shell: string) {
  return {
    entrypoints: [shell],
    target: 'browser',
    minify: true,
    splitting: true,
    publicPath: '/',
    define: { 'process.env.NODE_ENV': '"production"' },
    naming: {
      entry: '[name].[ext]',
      chunk: 'assets/[name]-[hash].[ext]',
      asset: 'assets/[name]-[hash].[ext]',
    },
  } satisfies Bun.BuildConfig
}

/**
 * Bundles and compresses the page.
 * @throws AggregateError with the errors in the source.
 */
export async function bundlePage(shell: string): Promise<Asset[]> {
  const { outputs } = await Bun.build(pageBuild(shell))
  return await Promise.all(
    outputs.map(async (output) => {
      const file = output.path.replace(/^\.\//, '')
      const extension = file.split('.').at(-1) ?? ''
      const path = extension === 'html' ? '/' : join('/', file)
      const type = types[extension] ?? 'application/octet-stream'
      return { path, type, gzip: Bun.gzipSync(new Uint8Array(await output.arrayBuffer()), { level: 9 }) }
    }),
  )
}

/** Packs assets into one file, as the executable embeds them. */
export function packAssets(assets: readonly Asset[]): string {
  return JSON.stringify(assets.map(({ gzip, ...asset }) => ({ ...asset, gzip: gzip.toBase64() })))
}

/** Unpacks the assets of a file that `packAssets` made. */
function unpackAssets(packed: string): Asset[] {
  const assets: { path: string; type: string; gzip: string }[] = JSON.parse(packed)
  return assets.map(({ gzip, ...asset }) => ({ ...asset, gzip: Uint8Array.fromBase64(gzip) }))
}
