import { existsSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../lib/command.ts'
import { sha256 } from '../../lib/image.ts'
import { stopProcess } from '../../lib/program.ts'
import { Registry } from '../../lib/registry.ts'
import { cacheFolder } from '../../toolchain/go-tool.ts'

const source = join(import.meta.dir, '..', 'load', 'load.go')
const buildSecondsMax = 300
const pullSecondsMax = 300

/** The upstream and the clients of a measurement, in processes of their own. */
export interface Load {
  /** Serves a folder as a registry that sends so many bytes per second in all; 0 for no limit. */
  serve(folder: string, bytesPerSecond: number): Promise<Upstream>
  /** Pulls a blob with several clients at once and compares every byte with a file. */
  pull(url: string, file: string, clients: { fast: number; slow?: number }): Promise<Pulls>
}

export interface Upstream extends AsyncDisposable {
  /** `host:port` */
  address: string
  /** How often a blob was requested, and how many bytes were sent. */
  stats(): Promise<{ gets: number; bytes: number }>
}

/** When the fast clients got their first byte and their last one, in milliseconds since their requests. */
export interface Pulls {
  firstByteMs: number[]
  doneMs: number[]
}

/** Builds the load generator if it is missing. */
export async function bringLoad(): Promise<Load> {
  const path = await build()
  return {
    serve: (folder, bytesPerSecond) => serve([path, 'serve', folder, String(bytesPerSecond)]),
    pull: async (url, file, { fast, slow = 0 }) => {
      const command = [path, 'pull', url, file, String(fast), String(slow)]
      return JSON.parse(await runCommand(command, { secondsMax: pullSecondsMax }))
    },
  }
}

async function build(): Promise<string> {
  const hash = sha256(await Bun.file(source).bytes()).slice(7, 19)
  const path = join(cacheFolder(), `load-${hash}`, 'load')
  if (existsSync(path)) return path
  await mkdir(join(path, '..'), { recursive: true })
  const env = { ...process.env, CGO_ENABLED: '0' }
  const unfinished = `${path}-${process.pid}`
  await runCommand(['go', 'build', '-o', unfinished, source], { env, secondsMax: buildSecondsMax })
  await rename(unfinished, path)
  return path
}

async function serve(command: string[]): Promise<Upstream> {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'inherit' })
  const { value } = await child.stdout.getReader().read()
  const address = new TextDecoder().decode(value).trim()
  return {
    address,
    stats: async () => (await new Registry(address).get('/stats')).json(),
    [Symbol.asyncDispose]: () => stopProcess(child),
  }
}
