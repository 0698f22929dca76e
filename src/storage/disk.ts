import { statfs } from 'node:fs/promises'

/** The bytes of the disk that a folder is on; `freeBytes` is what this process may still take. */
export async function diskSpace(folder: string): Promise<{ totalBytes: number; freeBytes: number }> {
  const { blocks, bavail, bsize } = await statfs(folder)
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
}
