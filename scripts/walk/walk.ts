import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { build } from '../build.ts'
import { commit } from '../lib/bundle.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import type { Guide } from './guide.ts'
import { bootNetwork } from './network.ts'
import { walkAlong } from './stages.ts'
import { Transcript } from './transcript.ts'

/**
 * `walk [readme|help]`: goes from an empty machine to a team with CI over TLS, as a new owner would, with the commands that
 * README.md, or `cay help`, prints. Boots three Debian machines, prints a transcript, and fails if a command exits or prints
 * otherwise than expected. Needs root.
 */
export async function run(args: string[]): Promise<void> {
  const isGuide = (name: string): name is Guide['name'] => name === 'readme' || name === 'help'
  const unknown = args.filter((name) => !isGuide(name))
  if (unknown.length > 0) throw new Error(`unknown: ${unknown.join(', ')}: expected readme or help`)
  const guides = args.length > 0 ? args.filter(isGuide) : (['readme', 'help'] as const)
  const executable = process.env.CAY_EXECUTABLE ?? (await build())
  for (const guide of guides) {
    await using folder = await temporaryFolder(`walk-${guide}`)
    const roots = join(folder.path, 'roots')
    await mkdir(roots)
    await using network = await bootNetwork(roots)
    console.log(`# From an empty machine to a team with CI over TLS, by ${guide}, with commit ${commit()}`)
    await walkAlong(guide, { ...network.hosts, executable, transcript: new Transcript() })
  }
}
