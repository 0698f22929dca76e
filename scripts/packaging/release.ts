import { mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { description, version } from '../../package.json'
import { runCommand } from '../lib/command.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools } from '../toolchain/toolchain.ts'
import { licenseText, sbomOf } from './components.ts'
import { buildImage, tarOf } from './container-image.ts'
import { buildDeb, buildRpm } from './packages.ts'
import { compileReleased, executableNames, platforms, releaseFolder, sourceSeconds } from './platform.ts'

const chartFolder = join(import.meta.dir, 'chart')
const sums = join(releaseFolder, 'SHA256SUMS')

/**
 * `release`: builds everything that is released in dist/release/: executables, packages, the container image, what runs it, an
 * SBOM, licences, notes, checksums, and, if CAY_SIGNING_KEY names a minisign key, a signature.
 * `release name...`: builds only the named executables.
 */
export async function release(args: string[]): Promise<void> {
  if (args.length > 0) {
    for (const path of await compileReleased(args)) console.log(path)
    return
  }
  await buildRelease()
  for (const name of await releasedFiles()) console.log(join(releaseFolder, name))
}

/** Builds everything that is released. */
async function buildRelease(): Promise<void> {
  const seconds = sourceSeconds()
  await rm(releaseFolder, { recursive: true, force: true })
  await compileReleased(executableNames)
  for (const platform of platforms) {
    await buildDeb(platform, { version, folder: releaseFolder })
    await buildRpm(platform, { version, folder: releaseFolder })
  }
  await writeImageArchive(seconds)
  await writeDeployments(releaseFolder)
  await Bun.write(join(releaseFolder, 'cay.cdx.json'), await sbomOf(seconds))
  await Bun.write(join(releaseFolder, 'LICENSES.txt'), await licenseText())
  await Bun.write(join(releaseFolder, 'NOTES.md'), await releaseNotes())
  await writeSums()
  await sign()
}

/** Writes the container image as one file, an archive of its OCI layout. */
async function writeImageArchive(seconds: number): Promise<void> {
  const layout = await buildImage(join(releaseFolder, 'layout'))
  const paths = await Array.fromAsync(new Bun.Glob('**').scan(layout))
  const entries = paths.map(async (path) => ({ path, body: await Bun.file(join(layout, path)).bytes() }))
  const archive = await tarOf(await Promise.all(entries), seconds)
  await Bun.write(join(releaseFolder, `cay-${version}-image.tar`), archive)
  await rm(layout, { recursive: true })
}

/** Formats checksums for `sha256sum --check`. */
async function writeSums(): Promise<void> {
  const lines: string[] = []
  for (const name of await releasedFiles())
    lines.push(`${await hashFile(join(releaseFolder, name))}  ${name}\n`)
  await Bun.write(`${sums}.new`, lines.join(''))
  await rename(`${sums}.new`, sums)
}

/** Signs the checksums with the minisign key of CAY_SIGNING_KEY, and writes its public key beside them. */
async function sign(): Promise<void> {
  const key = process.env.CAY_SIGNING_KEY
  if (!key) {
    console.error('SHA256SUMS is not signed: set CAY_SIGNING_KEY to the path of a minisign key')
    return
  }
  const { minisign = '' } = await bringTools(['minisign'])
  await runCommand([minisign, '-S', '-s', key, '-m', sums, '-t', `cay ${version}`])
  await runCommand([minisign, '-R', '-f', '-s', key, '-p', join(releaseFolder, 'cay.pub')])
}

async function releasedFiles(): Promise<string[]> {
  return (await readdir(releaseFolder)).sort()
}

async function hashFile(path: string): Promise<string> {
  const hash = new Bun.CryptoHasher('sha256')
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}

/**
 * Writes what runs the image: the Helm chart, plain manifests for Kubernetes that are made from it, lines for Compose, and a
 * Quadlet for podman. Returns the path of the chart.
 */
export async function writeDeployments(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true })
  for (const name of ['compose.yaml', 'cay.container']) {
    const text = await Bun.file(join(import.meta.dir, name)).text()
    await Bun.write(join(folder, name), text.replace('VERSION', version))
  }
  const chart = join(folder, `cay-${version}.tgz`)
  const files = await chartFiles()
  await Bun.write(chart, Bun.gzipSync(Buffer.from(await tarOf(files, 0))))
  const monitor = ['--set', 'serviceMonitor.enabled=true', '--show-only', 'templates/servicemonitor.yaml']
  const manifests = await template(chart, 'admin.existingSecret=cay-admin')
  await Bun.write(join(folder, 'kubernetes.yaml'), manifests)
  await Bun.write(join(folder, 'servicemonitor.yaml'), await template(chart, 'image.tag=', ...monitor))
  return chart
}

async function chartFiles() {
  const metadata = {
    apiVersion: 'v2',
    name: 'cay',
    description,
    type: 'application',
    version,
    appVersion: version,
  }
  const files = [{ path: 'cay/Chart.yaml', body: Bun.YAML.stringify(metadata, undefined, 2) }]
  for await (const path of new Bun.Glob('**').scan(chartFolder)) {
    files.push({ path: `cay/${path}`, body: await Bun.file(join(chartFolder, path)).text() })
  }
  return files
}

/** Renders the chart as a release with the name cay. */
async function template(chart: string, set: string, ...more: string[]): Promise<string> {
  const { helm4 = '' } = await bringTools(['helm4'])
  await using home = await temporaryFolder('helm')
  const env = { PATH: process.env.PATH, HOME: home.path }
  return await runCommand([helm4, 'template', 'cay', chart, '--set', set, ...more], { env })
}

/** Returns what changed since the last release, by area, from the subjects of commits (`area: change`). */
async function releaseNotes(): Promise<string> {
  const last = Bun.spawnSync(['git', 'describe', '--tags', '--abbrev=0', '--match=v*'], { stderr: 'ignore' })
  const since = last.success ? [`${last.stdout.toString().trim()}..HEAD`] : []
  const log = await runCommand(['git', 'log', '--reverse', '--format=%s', ...since], { cwd: import.meta.dir })
  const areas = new Map<string, string[]>()
  for (const subject of log.trim().split('\n')) {
    const [, area = 'other', change = subject] = /^([a-z0-9 ,/.-]+): (.*)$/.exec(subject) ?? []
    areas.set(area, [...(areas.get(area) ?? []), `- ${change}`])
  }
  const sections = [...areas].sort().map(([area, changes]) => `## ${area}\n\n${changes.join('\n')}\n`)
  return [`# cay ${version}\n`, ...sections].join('\n')
}
