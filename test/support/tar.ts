/** A member of a test archive. Fields that are not given have usual values. */
export interface Member {
  name: string | Uint8Array
  flag?: string
  link?: string
  content?: string | Uint8Array
  /** What the header says; by default the size of the content. */
  size?: number
  mode?: number
  uid?: number
  gid?: number
  mtime?: number
  /** Replaces bytes of the header before its checksum is computed. */
  patch?: (block: Uint8Array) => void
}

/** Writes a tar archive, also one that no tool would write. */
export function tar(
  members: readonly (Member | Uint8Array)[],
  { isEnded = true } = {},
): Uint8Array<ArrayBuffer> {
  const blocks = members.flatMap((member) => (member instanceof Uint8Array ? [member] : blocksOf(member)))
  return concat(isEnded ? [...blocks, new Uint8Array(1024)] : blocks)
}

/** A directory with its usual mode. */
export function directory(name: string, more: Partial<Member> = {}): Member {
  return { name: `${name}/`, flag: '5', mode: 0o755, ...more }
}

/** A PAX header for the next member. */
export function pax(records: Record<string, string>, flag = 'x'): Member {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = Buffer.byteLength(` ${key}=${value}\n`)
    const length = rest + String(rest + String(rest).length).length
    return `${length} ${key}=${value}\n`
  })
  return { name: 'PaxHeader', flag, content: lines.join('') }
}

export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.concat(parts))
}

function blocksOf(member: Member): Uint8Array[] {
  const { name, flag = '0', link = '', mode = 0o644, uid = 0, gid = 0, mtime = 1_700_000_000, patch } = member
  const content =
    typeof member.content === 'string' ? Buffer.from(member.content) : (member.content ?? new Uint8Array(0))
  const block = new Uint8Array(512)
  const put = (at: number, text: string | Uint8Array) =>
    block.set(typeof text === 'string' ? Buffer.from(text) : text, at)
  const octal = (at: number, length: number, value: number) =>
    put(at, `${value.toString(8).padStart(length - 1, '0')}\0`)
  put(0, (typeof name === 'string' ? Buffer.from(name) : name).subarray(0, 100))
  octal(100, 8, mode)
  octal(108, 8, uid)
  octal(116, 8, gid)
  octal(124, 12, member.size ?? content.length)
  octal(136, 12, mtime)
  put(156, flag)
  put(157, link)
  put(257, 'ustar\x0000')
  patch?.(block)
  put(148, '        ')
  octal(
    148,
    7,
    block.reduce((sum, byte) => sum + byte, 0),
  )
  return [block, content, new Uint8Array(-content.length & 511)]
}
