import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runCommand } from './command.ts'

/** A folder that `await using` deletes with its content at the end of the block. */
export interface TemporaryFolder extends AsyncDisposable {
  path: string
}

/** Creates an empty folder, by default in the system's temporary folder. */
export async function temporaryFolder(purpose: string, parent = tmpdir()): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(parent, `cay-${purpose}-`))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Mounts a file system of so many MiB in memory, for Linux and root, which `await using` unmounts and deletes. */
export async function temporaryFileSystem(sizeMiB: number): Promise<TemporaryFolder> {
  const folder = await temporaryFolder('tmpfs')
  await runCommand(['mount', '-t', 'tmpfs', '-o', `size=${sizeMiB}m`, 'tmpfs', folder.path])
  return {
    path: folder.path,
    async [Symbol.asyncDispose]() {
      await runCommand(['umount', folder.path])
      await folder[Symbol.asyncDispose]()
    },
  }
}
