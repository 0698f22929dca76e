/**
 * Returns the network that a client's address is counted under: an IPv4 address itself, and the /64 network of an IPv6
 * address, because a single host commonly has all of it.
 */
export function networkOf(address: string): string {
  const plain = /^::ffff:(\d+(?:\.\d+){3})$/.exec(address)?.[1] ?? address
  if (!plain.includes(':')) return plain
  const [head = '', tail] = plain.split('%', 1)[0]?.split('::') ?? []
  const left = head === '' ? [] : head.split(':')
  const right = tail ? tail.split(':') : []
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  const groups = [...left, ...Array<string>(zeros).fill('0'), ...right].slice(0, 4)
  return `${groups.map((group) => Number.parseInt(group, 16).toString(16)).join(':')}::/64`
}
