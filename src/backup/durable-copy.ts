import { constants, copyFile, link, mkdir, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'

/** Copies of files that survive a power loss once `sync` has resolved. */
export class DurableCopies {
  private readonly folders = new Set<string>()

  /**
   * Copies a file under its final name, which it gets when it is complete: as a hard link or a reflink where the file
   * system allows, otherwise by its bytes.
   * @returns false when there is no such file
   */
  async copy(from: string, to: string): Promise<boolean> {
    await mkdir(dirname(to), { recursive: true, mode: 0o700 })
    this.folders.add(dirname(to))
    try {
      await link(from, to)
      return true
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EEXIST') return true
      if (code === 'ENOENT') return false
    }
    return await this.copyBytes(from, to)
  }

  /** Copies a file by a reflink or its bytes, so that the copy does not share its storage with the original. */
  async copyBytes(from: string, to: string): Promise<boolean> {
    const part = `${to}.part`
    await mkdir(dirname(to), { recursive: true, mode: 0o700 })
    this.folders.add(dirname(to))
    try {
      await copyFile(from, part, constants.COPYFILE_FICLONE)
      await syncPath(part)
      await rename(part, to)
      return true
    } catch (error) {
      await rm(part, { force: true })
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' && (await sizeOf(from)) === undefined)
        return false
      throw error
    }
  }

  /** Syncs the folders that got a copy. */
  async sync(): Promise<void> {
    if (process.platform === 'win32') return
    for (const folder of this.folders) {
      await syncPath(folder)
      await syncPath(join(folder, '..'))
    }
    this.folders.clear()
  }
}

/** Syncs a file or a folder. */
export async function syncPath(path: string): Promise<void> {
  const file = await open(path, 'r')
  await file.sync().finally(() => file.close())
}

/** Returns the size of a file in bytes, or undefined if there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
