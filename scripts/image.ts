import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { version } from '../package.json'
import { makeIndex, writeLayout } from './lib/image.ts'
import { containerImage } from './packaging/container-image.ts'
import { compileReleased } from './packaging/executables.ts'
import { platforms } from './packaging/platform.ts'
import { sourceSeconds } from './packaging/source-time.ts'

const folder = join(import.meta.dir, '..', 'dist', 'image')

/** `image`: builds the container image of all platforms, and writes it to dist/image, an OCI image layout. */
export async function run(): Promise<void> {
  await compileReleased(platforms.map(({ executable }) => executable))
  console.log(`oci:${await buildImage(folder)}:${version}`)
}

/** Writes the image of the released executables to a folder, and returns the folder. */
export async function buildImage(layout: string): Promise<string> {
  const seconds = sourceSeconds()
  const built = []
  for (const platform of platforms) built.push(await containerImage(platform, seconds))
  await rm(layout, { recursive: true, force: true })
  const index = makeIndex(built.map(({ image }) => image))
  await writeLayout(
    layout,
    index,
    version,
    built.flatMap(({ referrers }) => referrers),
  )
  return layout
}
