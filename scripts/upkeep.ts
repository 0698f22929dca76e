import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { build } from './build.ts'
import { CaseReport } from './lib/cases.ts'
import { runCommand } from './lib/command.ts'
import { type Content, makeImage, makeIndex } from './lib/image.ts'
import { bringPeers, startPeer } from './lib/peers.ts'
import { manifestMediaType, Registry } from './lib/registry.ts'
import { startServer } from './lib/server.ts'
import { temporaryFolder } from './lib/temporary-folder.ts'
import { bringTools } from './toolchain.ts'

const MiB = 1024 * 1024
/** The images of a filled folder, and the bytes of their layers. */
const images = 24
const layerBytes = MiB
/** A killed command runs at most this long before. */
const killMillisecondsMax = 120

/** What a command did. */
interface Ended {
  code: number | null
  output: string
}

/**
 * `upkeep [--rounds N]`: backs up under load and restores, moves in from Debian's docker-registry, and kills and fails
 * backups, restores and imports. Needs Linux and root, for a tmpfs and strace.
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { rounds: { type: 'string', default: '5' } } })
  const rounds = Number(values.rounds)
  const cay = process.env.CAY_EXECUTABLE ?? (await build())
  await bringTools(['strace'])
  const report = new CaseReport()
  await report.try('move in', 'import and migrate from docker-registry', () => moveIn(cay))
  await report.try('backup', 'while images are pushed', () => backUpUnderLoad(cay))
  await using folder = await temporaryFolder('upkeep')
  const data = join(folder.path, 'data')
  await fill(data)
  await report.try('kill -9', `${rounds} backups`, () => killBackups(cay, data, rounds))
  await report.try('kill -9', `${rounds} restores`, () => killRestores(cay, data, rounds))
  await report.try('kill -9', `${rounds} imports`, () => killImports(cay, data, rounds))
  await report.try('full disk', 'backup', () => fillDisk(cay, data))
  for (const call of ['fsync', 'rename', 'linkat,link', 'mkdir,mkdirat', 'copy_file_range,sendfile,write']) {
    await report.try('failing disk', call, () => failDisk(cay, data, call))
  }
  report.end(undefined)
}

/** Every manifest and blob of docker-registry is in cay, byte for byte, by its folder and by its API. */
async function moveIn(cay: string): Promise<void> {
  const executables = await bringPeers()
  await using folder = await temporaryFolder('move-in')
  await using peer = await startPeer(executables, 'docker-registry')
  const source = new Registry(`127.0.0.1:${peer.port}`)
  const contents = new Map<string, Content>()
  for (const name of ['alpine', 'team/app', 'team/deep/er/app']) {
    contents.set(name, makeIndex([await makeImage(), await makeImage({ architecture: 'arm64' })]))
  }
  for (const [name, content] of contents) await source.pushContent(name, '1.0', content)
  const [imported, migrated] = [join(folder.path, 'imported'), join(folder.path, 'migrated')]
  await runCommand([cay, 'import', peer.data, '--data', imported])
  await runCommand([cay, 'migrate', `http://127.0.0.1:${peer.port}`, '--data', migrated])
  for (const data of [imported, migrated]) {
    await using server = await startServer({ data })
    for (const [name, content] of contents) await compare(new Registry(server.address), name, content)
  }
}

async function compare(registry: Registry, name: string, { descriptor, blobs }: Content): Promise<void> {
  const manifest = await registry.expect([200], 'GET', `/v2/${name}/manifests/1.0`, {
    headers: { accept: '*/*' },
  })
  if (manifest.headers.get('docker-content-digest') !== descriptor.digest)
    throw new Error(`${name}:1.0 differs`)
  for (const [digest, bytes] of blobs) {
    const isManifest =
      bytes[0] === '{'.charCodeAt(0) && new TextDecoder().decode(bytes).includes('schemaVersion')
    if (!isManifest) await registry.pullBlob(name, digest)
    else
      await registry.expect([200], 'GET', `/v2/${name}/manifests/${digest}`, { headers: { accept: '*/*' } })
  }
}

/** What was pushed before the backup began is restored, and what is restored is whole. */
async function backUpUnderLoad(cay: string): Promise<void> {
  await using folder = await temporaryFolder('under-load')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  const data = join(folder.path, 'data')
  const before: string[] = []
  {
    await using server = await startServer({ data })
    const registry = new Registry(server.address)
    let isOver = false
    const pushing = (async () => {
      for (let n = 0; !isOver; n++) {
        const tag = `t${n}`
        await registry.pushRandomImage('app', tag, n % 2 === 0 ? layerBytes / 4 : 1000)
        before.push(tag)
      }
    })()
    while (before.length < 20) await Bun.sleep(5)
    const needed = [...before]
    await runCommand([cay, 'backup', target, '--data', data])
    isOver = true
    await pushing
    before.splice(0, before.length, ...needed)
  }
  await runCommand([cay, 'restore', target, '--data', restored])
  await runCommand([cay, 'fsck', '--data', restored])
  await using server = await startServer({ data: restored })
  const registry = new Registry(server.address)
  for (const tag of before) {
    await registry.expect([200], 'GET', `/v2/app/manifests/${tag}`, {
      headers: { accept: manifestMediaType },
    })
  }
}

async function fill(data: string): Promise<void> {
  await using server = await startServer({ data })
  const registry = new Registry(server.address)
  for (let n = 0; n < images; n++) await registry.pushRandomImage(`app${n % 3}`, `t${n}`, layerBytes)
}

async function killBackups(cay: string, data: string, rounds: number): Promise<void> {
  // On another file system blobs are copied, which takes longer than linking them.
  await withTmpfs(4 * images, async (mount) => {
    const target = join(mount, 'target')
    for (let round = 0; round < rounds; round++) await killed([cay, 'backup', target, '--data', data])
    await runCommand([cay, 'backup', target, '--data', data])
    await runCommand([cay, 'backup', target, '--verify', '--data', data])
    const snapshots = await readdir(join(target, 'snapshots'))
    if (snapshots.some((name) => name.startsWith('.'))) throw new Error(`left behind: ${snapshots}`)
  })
}

async function killRestores(cay: string, data: string, rounds: number): Promise<void> {
  await withTmpfs(6 * images, async (mount) => {
    const [target, restored] = [join(mount, 'target'), join(mount, 'restored')]
    await runCommand([cay, 'backup', target, '--data', data])
    for (let round = 0; round < rounds; round++) {
      const { code } = await killed([cay, 'restore', target, '--data', restored])
      if (code === 0) await rm(restored, { recursive: true })
    }
    await runCommand([cay, 'restore', target, '--data', restored])
    await runCommand([cay, 'fsck', '--data', restored])
  })
}

async function killImports(cay: string, data: string, rounds: number): Promise<void> {
  await using folder = await temporaryFolder('import')
  const [layout, target] = [join(folder.path, 'layout'), join(folder.path, 'target')]
  await runCommand([cay, 'export', layout, 'app0', 'app1', 'app2', '--data', data])
  for (let round = 0; round < rounds; round++) await killed([cay, 'import', layout, '--data', target])
  await runCommand([cay, 'import', layout, '--data', target])
  const again = await runCommand([cay, 'import', layout, '--data', target])
  if (!again.includes(`${images} unchanged`)) throw new Error(again)
  await runCommand([cay, 'fsck', '--data', target])
}

/** A backup that does not fit says so; it continues when there is space. */
async function fillDisk(cay: string, data: string): Promise<void> {
  await withTmpfs(images / 2, async (mount) => {
    const target = join(mount, 'target')
    const full = await ended([cay, 'backup', target, '--data', data])
    if (full.code !== 1 || !/ENOSPC|no space|full/i.test(full.output))
      throw new Error(`unclear: ${full.output}`)
    await runCommand(['mount', '-o', `remount,size=${4 * images}m`, mount])
    await runCommand([cay, 'backup', target, '--data', data])
    await runCommand([cay, 'backup', target, '--verify', '--data', data])
  })
}

/** A backup whose system calls fail ends with an error, or is whole; the next one is. */
async function failDisk(cay: string, data: string, calls: string): Promise<void> {
  await using folder = await temporaryFolder('failing')
  const target = join(folder.path, 'target')
  for (const error of ['EIO', 'ENOSPC']) {
    for (const when of [1, 3, 7]) {
      const inject = `inject=${calls}:error=${error}:when=${when}`
      const trace = join(folder.path, 'trace')
      const command = ['strace', '-f', '-q', '-o', trace, '-e', `trace=${calls}`, '-e', inject]
      const { code } = await ended([...command, cay, 'backup', target, '--data', data])
      if (code === 0) await runCommand([cay, 'backup', target, '--verify', '--data', data])
    }
  }
  await runCommand([cay, 'backup', target, '--data', data])
  await runCommand([cay, 'backup', target, '--verify', '--data', data])
  await runCommand([cay, 'fsck', '--data', data])
}

async function withTmpfs(sizeMiB: number, work: (mount: string) => Promise<void>): Promise<void> {
  await using folder = await temporaryFolder('tmpfs')
  await runCommand(['mount', '-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder.path])
  try {
    await work(folder.path)
  } finally {
    await runCommand(['umount', folder.path])
  }
}

/** Runs a command and kills it after a random time. */
async function killed(command: string[]): Promise<Ended> {
  return await ended(command, Math.random() * killMillisecondsMax)
}

async function ended(command: string[], milliseconds?: number): Promise<Ended> {
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const timer = milliseconds === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), milliseconds)
  const [output, errors] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  clearTimeout(timer)
  return { code: child.exitCode, output: output + errors }
}
