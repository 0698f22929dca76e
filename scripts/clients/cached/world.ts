import { join } from 'node:path'
import { type Image, makeImage, writeLayout } from '../../lib/image.ts'
import { type Server, startServer } from '../../lib/server.ts'
import type { CaseContext } from '../client.ts'

/** The image of the origin, below the name that Docker gives to images of Docker Hub without a namespace. */
export const REPOSITORY = 'library/image'

/** No tag is ever fresh, so each pull by tag asks the upstream, or finds that it is down. */
const SETTINGS = '[cache]\nfresh-seconds = 0\nstale-while-revalidate-seconds = 0\n'

/** A cay in front of another registry, and the image that is there; its layout is in the folder `pushed`. */
export interface Cached {
  address: string
  image: Image
}

/** The image by its tag, and by its digest. */
export function referencesOf({ descriptor }: Image): string[] {
  return [`${REPOSITORY}:1`, `${REPOSITORY}@${descriptor.digest}`]
}

/** Pulls through a cay in front of another one, and again with the other one stopped and the first one restarted. */
export async function withAndWithoutUpstream(
  { folder }: CaseContext,
  name: string,
  pull: (cached: Cached) => Promise<void>,
): Promise<void> {
  const image = await makeImage()
  await writeLayout(join(folder, 'pushed'), image, '1')
  const data = join(folder, 'cache')
  {
    await using origin = await startServer()
    await origin.registry.pushContent(REPOSITORY, '1', image)
    await using cache = await startCache(data, name, origin.address)
    await pull({ address: cache.address, image })
  }
  await using cache = await startServer({ data })
  await pull({ address: cache.address, image })
}

/** Starts a cay that caches a registry under a name. Its settings stay in its data folder. */
export async function startCache(data: string, name: string, upstream: string): Promise<Server> {
  const toml = `[[upstream]]\nname = "${name}"\nurl = "http://${upstream}"\n\n${SETTINGS}`
  await Bun.write(join(data, 'cay.toml'), toml)
  return await startServer({ data })
}
