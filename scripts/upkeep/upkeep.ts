import { existsSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startOtherRegistries } from '../../test/support/other-registries.ts'
import { build } from '../build.ts'
import { CaseReport } from '../lib/cases.ts'
import { type Ended, runCommand, runToEnd } from '../lib/command.ts'
import { type Content, makeIndex, makePlatforms } from '../lib/image.ts'
import { startPeer } from '../lib/peers.ts'
import { manifestMediaType, Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import { temporaryFileSystem, temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { failCalls, killed } from './commands.ts'
import { failRead, failScrub, killScrubs } from './scrubs.ts'

const MiB = 1024 * 1024
/** The images of a filled folder, and the bytes of their layers. */
const images = 24
const layerBytes = MiB

/** System calls that a disk can fail, as strace names them. */
const diskCalls = [
  'fsync,fdatasync',
  'rename',
  'linkat,link',
  'mkdir,mkdirat',
  'write,pwrite64,copy_file_range',
]

/**
 * `upkeep [--rounds N]`: backs up under load and restores, moves in from Debian's docker-registry, and kills and fails
 * backups, restores, imports and verifications. Needs Linux and root, for a tmpfs and strace.
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
  await report.try('full disk', 'backup', () => fillBackup(cay, data))
  await report.try('full disk', 'import and restore', () => fillImportAndRestore(cay, data))
  for (const calls of diskCalls) {
    await report.try('failing disk', `backup: ${calls}`, () => failBackup(cay, data, calls))
    await report.try('failing disk', `import: ${calls}`, () => failImport(cay, data, calls))
    await report.try('failing disk', `restore: ${calls}`, () => failRestore(cay, data, calls))
  }
  await report.try('scrub', `${rounds} kills`, () => killScrubs(rounds))
  for (const calls of ['rename', 'fdatasync,fsync', 'pwrite64,write', 'mkdir,mkdirat']) {
    await report.try('scrub', `failing disk: ${calls}`, () => failScrub(calls))
  }
  await report.try('scrub', 'unreadable file', () => failRead())
  report.end(undefined)
}

/** Every manifest and blob of docker-registry is in cay, byte for byte, by its folder and by its API. */
async function moveIn(cay: string): Promise<void> {
  const executables = await bringTools(['docker-registry'])
  await using folder = await temporaryFolder('move-in')
  await using peer = await startPeer(executables, 'docker-registry')
  const source = new Registry(`127.0.0.1:${peer.port}`)
  const contents = new Map<string, Content>()
  for (const name of ['alpine', 'team/app', 'team/deep/er/app']) {
    contents.set(name, makeIndex(await makePlatforms()))
  }
  for (const [name, content] of contents) await source.pushContent(name, '1.0', content)
  const [imported, migrated] = [join(folder.path, 'imported'), join(folder.path, 'migrated')]
  await runCommand([cay, 'import', peer.data, '--data', imported])
  await runCommand([cay, 'migrate', `http://127.0.0.1:${peer.port}`, '--data', migrated])
  for (const data of [imported, migrated]) {
    await using server = await startServer({ data })
    for (const [name, content] of contents) await server.registry.pullContent(name, '1.0', content)
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
    let isOver = false
    const pushing = (async () => {
      for (let n = 0; !isOver; n++) {
        const tag = `t${n}`
        await server.registry.pushRandomImage('app', tag, n % 2 === 0 ? layerBytes / 4 : 1000)
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
  for (const tag of before) {
    await server.registry.get(`/v2/app/manifests/${tag}`, { accept: manifestMediaType })
  }
}

async function fill(data: string): Promise<void> {
  await using server = await startServer({ data })
  for (let n = 0; n < images; n++) await server.registry.pushRandomImage(`app${n % 3}`, `t${n}`, layerBytes)
}

async function killBackups(cay: string, data: string, rounds: number): Promise<void> {
  // On another file system blobs are copied, which takes longer than linking them.
  await using volume = await temporaryFileSystem(4 * images)
  const mount = volume.path
  const target = join(mount, 'target')
  for (let round = 0; round < rounds; round++) await killed([cay, 'backup', target, '--data', data])
  await runCommand([cay, 'backup', target, '--data', data])
  await runCommand([cay, 'backup', target, '--verify', '--data', data])
  const snapshots = await readdir(join(target, 'snapshots'))
  if (snapshots.some((name) => name.startsWith('.'))) throw new Error(`left behind: ${snapshots}`)
}

async function killRestores(cay: string, data: string, rounds: number): Promise<void> {
  await using volume = await temporaryFileSystem(6 * images)
  const mount = volume.path
  const [target, restored] = [join(mount, 'target'), join(mount, 'restored')]
  await runCommand([cay, 'backup', target, '--data', data])
  for (let round = 0; round < rounds; round++) {
    await killed([cay, 'restore', target, '--data', restored])
    // The kill can come after its last step.
    const isComplete = existsSync(join(restored, 'cay.db')) && !existsSync(join(restored, 'restoring'))
    if (!isComplete) continue
    await runCommand([cay, 'fsck', '--data', restored])
    await rm(restored, { recursive: true })
  }
  await runCommand([cay, 'restore', target, '--data', restored])
  await runCommand([cay, 'fsck', '--data', restored])
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
async function fillBackup(cay: string, data: string): Promise<void> {
  await using volume = await temporaryFileSystem(images / 2)
  const mount = volume.path
  const target = join(mount, 'target')
  expectFull(await runToEnd([cay, 'backup', target, '--data', data]))
  await runCommand(['mount', '-o', `remount,size=${4 * images}m`, mount])
  await runCommand([cay, 'backup', target, '--data', data])
  await runCommand([cay, 'backup', target, '--verify', '--data', data])
}

/** An import and a restore that do not fit say so; they continue when there is space. */
async function fillImportAndRestore(cay: string, data: string): Promise<void> {
  await using folder = await temporaryFolder('filling')
  const [layout, target] = [join(folder.path, 'layout'), join(folder.path, 'target')]
  await runCommand([cay, 'export', layout, 'app0', 'app1', 'app2', '--data', data])
  await runCommand([cay, 'backup', target, '--data', data])
  for (const [verb, from] of [
    ['import', layout],
    ['restore', target],
  ] as const) {
    await using volume = await temporaryFileSystem(images / 2)
    const mount = volume.path
    const command = [cay, verb, from, '--data', join(mount, 'data')]
    expectFull(await runToEnd(command))
    await runCommand(['mount', '-o', `remount,size=${6 * images}m`, mount])
    await runCommand(command)
    await runCommand([cay, 'fsck', '--data', join(mount, 'data')])
  }
}

/** Expects that a command failed, and said that the disk is full. */
function expectFull({ code, output, errors }: Ended): void {
  const said = output + errors
  if (code !== 1 || !/ENOSPC|no space|full/i.test(said)) throw new Error(`unclear: ${said.slice(0, 2000)}`)
}

/** A backup whose system calls fail ends with an error, or is whole; the next one is. */
async function failBackup(cay: string, data: string, calls: string): Promise<void> {
  await using folder = await temporaryFolder('failing')
  const backup = [cay, 'backup', join(folder.path, 'target'), '--data', data]
  const verify = () => runCommand([...backup, '--verify'])
  await failCalls(calls, backup, verify)
  await runCommand(backup)
  await verify()
  await runCommand([cay, 'fsck', '--data', data])
}

/** An import of registry:2's folder whose system calls fail continues, and leaves the source as it is. */
async function failImport(cay: string, _: string, calls: string): Promise<void> {
  await using folder = await temporaryFolder('failing')
  const [source, data] = [join(folder.path, 'source'), join(folder.path, 'data')]
  await using _others = await startOtherRegistries(source)
  const before = await runCommand(['sh', '-c', `cd ${source} && find . -type f | sort | xargs sha256sum`])
  const command = [cay, 'import', source, '--data', data]
  const check = () => runCommand([cay, 'fsck', '--data', data])
  await failCalls(calls, command, check)
  await runCommand(command)
  await check()
  const again = await runCommand(command)
  if (!again.includes('imported 0 images')) throw new Error(again)
  const after = await runCommand(['sh', '-c', `cd ${source} && find . -type f | sort | xargs sha256sum`])
  if (after !== before) throw new Error('the source has changed')
}

/** A restore whose system calls fail ends with an error, or is whole; it continues. */
async function failRestore(cay: string, data: string, calls: string): Promise<void> {
  await using folder = await temporaryFolder('failing')
  const [target, restored] = [join(folder.path, 'target'), join(folder.path, 'restored')]
  await runCommand([cay, 'backup', target, '--data', data])
  const command = [cay, 'restore', target, '--data', restored]
  const check = () => runCommand([cay, 'fsck', '--data', restored])
  await failCalls(calls, command, async () => {
    await check()
    await rm(restored, { recursive: true })
  })
  await runCommand(command)
  await check()
}
