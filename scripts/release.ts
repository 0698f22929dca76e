import { readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../package.json'
import { buildImage } from './image.ts'
import { runCommand } from './lib/command.ts'
import { licenseText } from './packaging/components.ts'
import { buildDeb } from './packaging/deb.ts'
import { writeDeployments } from './packaging/deployments.ts'
import { compileReleased, executableNames, releaseFolder } from './packaging/executables.ts'
import { releaseNotes } from './packaging/notes.ts'
import { platforms } from './packaging/platform.ts'
import { buildRpm } from './packaging/rpm.ts'
import { sbomOf } from './packaging/sbom.ts'
import { sourceSeconds } from './packaging/source-time.ts'
import { tarOf } from './packaging/tar.ts'
import { bringTools } from './toolchain/toolchain.ts'

const sums = join(releaseFolder, 'SHA256SUMS')

/**
 * `release`: builds everything that is released in dist/release/: executables, packages, the container image, what runs it, an
 * SBOM, licences, notes, checksums, and, if CAY_SIGNING_KEY names a minisign key, a signature.
 * `release name...`: builds only the named executables.
 */
export async function run(args: string[]): Promise<void> {
  if (args.length > 0) {
    for (const path of await compileReleased(args)) console.log(path)
    return
  }
  await release()
  for (const name of await releasedFiles()) console.log(join(releaseFolder, name))
}

/** Builds everything that is released, and returns the folder. */
export async function release(): Promise<string> {
  const seconds = sourceSeconds()
  await rm(releaseFolder, { recursive: true, force: true })
  await compileReleased(executableNames)
  for (const platform of platforms) {
    await buildDeb(platform, { version, seconds, folder: releaseFolder })
    await buildRpm(platform, { version, seconds, folder: releaseFolder })
  }
  await writeImageArchive(seconds)
  await writeDeployments(releaseFolder)
  await Bun.write(join(releaseFolder, 'cay.cdx.json'), await sbomOf(seconds))
  await Bun.write(join(releaseFolder, 'LICENSES.txt'), await licenseText())
  await Bun.write(join(releaseFolder, 'NOTES.md'), await releaseNotes())
  await writeSums()
  await sign()
  return releaseFolder
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
