import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildDeb } from '../packaging/deb.ts'
import { platforms } from '../packaging/platform.ts'
import { sourceSeconds } from '../packaging/source-time.ts'
import type { Machine } from './debian-machine.ts'

/** Builds the package of an executable, by default the released one, as a version, and installs it in a machine. */
export async function installDeb(
  machine: Machine,
  folder: string,
  version: string,
  executable?: string,
): Promise<void> {
  const [platform] = platforms
  if (platform === undefined) throw new Error('no platform has packages')
  const contents = { version, seconds: sourceSeconds(), folder, ...(executable && { executable }) }
  await copyFile(await buildDeb(platform, contents), join(machine.root, 'root', 'cay.deb'))
  await machine.run('dpkg', '--install', '--force-downgrade', '/root/cay.deb')
  await machine.run('rm', '/root/cay.deb')
}
