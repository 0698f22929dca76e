import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { bringTools } from '../toolchain.ts'
import { temporaryFolder } from './temporary-folder.ts'

const startSecondsMax = 30
const stopSecondsMax = 10

/** A running registry of Debian's package docker-registry. `await using` stops it and deletes what it stored. */
export interface DockerRegistry extends AsyncDisposable {
  /** Where it listens, `host:port`. */
  address: string
}

/**
 * Starts distribution 2.8, the last line that takes and makes Docker schema 1, with that switched on.
 * @throws Error with what it printed, when it ends instead.
 */
export async function startDockerRegistry(): Promise<DockerRegistry> {
  const tools = await bringTools(['docker-registry'])
  const folder = await temporaryFolder('docker-registry')
  const address = `127.0.0.1:${freePort()}`
  const config = join(folder.path, 'config.yml')
  const log = join(folder.path, 'log')
  await writeFile(config, configuration(address, join(folder.path, 'data')))
  const child = Bun.spawn([tools['docker-registry'] ?? '', 'serve', config], {
    env: { PATH: process.env.PATH ?? '', HOME: folder.path },
    stdin: 'ignore',
    stdout: Bun.file(log),
    stderr: Bun.file(log),
  })
  const stop = async () => {
    child.kill('SIGTERM')
    const force = setTimeout(() => child.kill('SIGKILL'), stopSecondsMax * 1000)
    await child.exited
    clearTimeout(force)
    await folder[Symbol.asyncDispose]()
  }
  const began = performance.now()
  while (!(await answers(address))) {
    if (child.exitCode === null && performance.now() - began < startSecondsMax * 1000) continue
    const printed = await Bun.file(log).text()
    await stop()
    throw new Error(`docker-registry does not answer\n${printed}`)
  }
  return { address, [Symbol.asyncDispose]: stop }
}

function configuration(address: string, data: string): string {
  return `version: 0.1
log: { level: error, accesslog: { disabled: true } }
storage:
  delete: { enabled: true }
  filesystem: { rootdirectory: ${data} }
compatibility: { schema1: { enabled: true } }
http: { addr: ${address} }
`
}

function freePort(): number {
  const listener = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  listener.stop(true)
  return listener.port
}

async function answers(address: string): Promise<boolean> {
  try {
    const response = await fetch(`http://${address}/v2/`, { keepalive: false })
    await response.bytes()
    return true
  } catch {
    await Bun.sleep(10)
    return false
  }
}
