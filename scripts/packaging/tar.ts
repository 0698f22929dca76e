import { packTar, type TarEntry } from 'modern-tar'

/** A file, folder or symbolic link of an archive. */
export interface Entry {
  /** Relative to the root, without a leading slash. */
  path: string
  /** The content of a file. */
  body?: string | Uint8Array
  /** The target of a symbolic link. */
  link?: string
  /** Permissions; by default 0644, for folders 0755, and for links 0777. */
  mode?: number
  /** The user and group that own it; by default root. */
  owner?: number
}

/**
 * Returns an uncompressed archive of the entries, in order of their paths, with the folders that they need. The same
 * entries always give the same bytes.
 *
 * @param seconds the time of all entries, in seconds since 1970
 */
export async function tarOf(entries: readonly Entry[], seconds: number): Promise<Uint8Array> {
  const byPath = new Map<string, Entry>()
  for (const entry of entries) {
    const parts = entry.path.split('/')
    for (let depth = 1; depth < parts.length; depth++) {
      const path = parts.slice(0, depth).join('/')
      if (!byPath.has(path)) byPath.set(path, { path })
    }
    byPath.set(entry.path, entry)
  }
  const sorted = [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
  return await packTar(sorted.map((entry) => header(entry, new Date(seconds * 1000))))
}

function header({ path, body, link, mode, owner = 0 }: Entry, mtime: Date): TarEntry {
  const common = { mtime, uid: owner, gid: owner, uname: '', gname: '' }
  if (link !== undefined) {
    return {
      header: { ...common, name: path, size: 0, type: 'symlink', linkname: link, mode: mode ?? 0o777 },
    }
  }
  if (body === undefined) {
    return { header: { ...common, name: `${path}/`, size: 0, type: 'directory', mode: mode ?? 0o755 } }
  }
  const bytes = typeof body === 'string' ? new TextEncoder().encode(body) : body
  return {
    header: { ...common, name: path, size: bytes.length, type: 'file', mode: mode ?? 0o644 },
    body: bytes,
  }
}
