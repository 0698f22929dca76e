import { existsSync } from 'node:fs'
import { appendFile, cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseSync } from 'oxc-parser'
import { runToEnd } from './lib/command.ts'
import { makeImage } from './lib/image.ts'
import { Registry } from './lib/registry.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'

const root = join(import.meta.dir, '..')

/**
 * `opened [--list]`: counts the files of src/ whose functions run from a request's arrival to its response, in all threads,
 * and for commands in the command's process, too: what a reader of that path opens.
 */
export async function run(args: string[]): Promise<void> {
  await using folder = await temporaryFolder('opened')
  const recorder = await instrument(folder.path)
  const main = join(folder.path, 'src/main.ts')
  const data = join(folder.path, 'data')
  const cay = join(folder.path, 'cay')
  await writeFile(cay, `#!/bin/sh\nexec ${process.execPath} ${main} "$@"\n`, { mode: 0o755 })
  await using server = await startServer({ executable: cay, data })
  for (const [name, call] of Object.entries(await calls(server.address, cay, data))) {
    // The first call may load what later ones share.
    await call()
    const opened = await recorder.during(call)
    console.log(`${String(opened.length).padStart(3)} ${name}`)
    if (args.includes('--list')) console.log(opened.map((file) => `      ${file}`).join('\n'))
  }
}

/** The paths that are counted. Each can run again. */
async function calls(
  address: string,
  cay: string,
  data: string,
): Promise<Record<string, () => Promise<void>>> {
  const registry = new Registry(address)
  const image = await makeImage()
  await registry.pushContent('app', '1.0', image)
  const url = `http://${address}`
  const body = image.blobs.get(image.descriptor.digest) ?? new Uint8Array()
  const headers = { 'content-type': image.descriptor.mediaType }
  const expectStatus = async (path: string, init: RequestInit, status: number) => {
    const response = await fetch(new URL(path, url), init)
    await response.arrayBuffer()
    if (response.status !== status) throw new Error(`${init.method ?? 'GET'} ${path}: ${response.status}`)
    return response
  }
  const command = async (...words: string[]) => {
    const { code, errors } = await runToEnd([cay, ...words, '--data', data])
    if (code !== 0) throw new Error(errors)
  }
  const upload = async () =>
    (await expectStatus('/v2/app/blobs/uploads/', { method: 'POST' }, 202)).headers.get('location') ?? ''
  const locations = [await upload(), await upload()]
  return {
    'PUT manifest': async () => {
      await expectStatus('/v2/app/manifests/1.0', { method: 'PUT', headers, body }, 201)
    },
    'PATCH blob upload': async () => {
      await expectStatus(locations.pop() ?? '', { method: 'PATCH', body: new Uint8Array(1 << 20) }, 202)
    },
    'GET manifest by tag': async () => void (await expectStatus('/v2/app/manifests/1.0', {}, 200)),
    'GET list of tags': async () => void (await expectStatus('/v2/app/tags/list', {}, 200)),
    'cay tag list': () => command('tag', 'list', 'app'),
    'cay gc run': () => command('gc', 'run'),
  }
}

/** Copies the source to a folder, with a mark at the begin of each function. */
async function instrument(folder: string) {
  const [flag, log] = [join(folder, 'recording'), join(folder, 'opened')]
  for (const name of ['drizzle', 'package.json', 'LICENSE', 'tsconfig.json', 'bunfig.toml']) {
    await cp(join(root, name), join(folder, name), { recursive: true })
  }
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  await cp(join(root, 'src'), join(folder, 'src'), { recursive: true })
  await writeFile(
    join(folder, 'mark.ts'),
    `import { appendFileSync, existsSync } from 'node:fs'
const seen = new Set<string>()
export function mark(file: string): void {
  if (!existsSync(${JSON.stringify(flag)})) return void seen.clear()
  if (seen.has(file)) return
  seen.add(file)
  appendFileSync(${JSON.stringify(log)}, file + '\\n')
}
`,
  )
  for await (const path of new Bun.Glob('src/**/*.ts').scan(root)) {
    if (path.startsWith('src/page/') || path.endsWith('.d.ts')) continue
    const file = join(folder, path)
    await writeFile(
      file,
      marked(path.slice('src/'.length), await readFile(file, 'utf8'), join(folder, 'mark.ts')),
    )
  }
  return {
    /** Returns the files whose functions have run during a call. */
    async during(call: () => Promise<void>): Promise<string[]> {
      await rm(log, { force: true })
      await mkdir(dirname(flag), { recursive: true })
      await appendFile(flag, '')
      await call()
      await rm(flag)
      if (!existsSync(log)) return []
      return [...new Set((await readFile(log, 'utf8')).trim().split('\n'))].sort()
    },
  }
}

/** Returns a source in which each function says that its file was opened. */
function marked(file: string, text: string, module: string): string {
  const inserts: [at: number, text: string][] = []
  const visit = (node: unknown): void => {
    if (typeof node !== 'object' || node === null) return
    const { type, body } = node as { type?: string; body?: { type: string; start: number; end: number } }
    if (/Function/.test(type ?? '') && body?.type === 'BlockStatement') {
      inserts.push([body.start + 1, ` __mark('${file}');`])
    } else if (type === 'ArrowFunctionExpression' && body !== undefined) {
      inserts.push([body.start, `(__mark('${file}'), `], [body.end, ')'])
    }
    Object.values(node).forEach(visit)
  }
  visit(parseSync(file, text).program)
  inserts.sort(([a], [b]) => b - a)
  let result = text
  for (const [at, part] of inserts) result = result.slice(0, at) + part + result.slice(at)
  return `import { mark as __mark } from '${module}'\n${result}`
}
