import { join } from 'node:path'

/** A file of the page, compressed with gzip. */
export interface Asset {
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
export function unpackAssets(packed: string): Asset[] {
  const assets: { path: string; type: string; gzip: string }[] = JSON.parse(packed)
  return assets.map(({ gzip, ...asset }) => ({ ...asset, gzip: Uint8Array.fromBase64(gzip) }))
}
