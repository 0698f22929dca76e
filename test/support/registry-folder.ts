import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Named } from './content.ts'

/** Writes files of a data folder of registry:2. */
export async function registryFolder(
  root: string,
  repository: string,
  tag: string,
  blobs: Named[],
  manifests: Named[],
) {
  const write = async (path: string, content: string | Uint8Array) => {
    const file = join(root, 'docker/registry/v2', path)
    await mkdir(dirname(file), { recursive: true })
    await writeFile(file, content)
  }
  for (const { digest, bytes } of [...blobs, ...manifests]) {
    const hex = digest.slice(7)
    await write(`blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, bytes)
  }
  const own = `repositories/${repository}/_manifests`
  for (const { digest } of manifests) await write(`${own}/revisions/sha256/${digest.slice(7)}/link`, digest)
  await write(`${own}/tags/${tag}/current/link`, manifests[0]?.digest ?? '')
}

/** The file of a blob in such a folder. */
export function registryBlob(root: string, { digest }: Named): string {
  const hex = digest.slice(7)
  return join(root, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data')
}
