import { BlockList, isIPv6 } from 'node:net'

/** The kind of an IP address. `forbidden`: link-local (metadata services), multicast, unspecified, reserved. */
export type AddressKind = 'forbidden' | 'loopback' | 'private' | 'public'

/** IPv4 networks, which also apply to addresses embedded in IPv6 addresses. */
const NETWORKS: Record<Exclude<AddressKind, 'public'>, readonly [address: string, bits: number][]> = {
  forbidden: [
    ['0.0.0.0', 8],
    ['169.254.0.0', 16],
    ['224.0.0.0', 3],
  ],
  loopback: [['127.0.0.0', 8]],
  private: [
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
  ],
}

/** IPv4 addresses within IPv6: mapped ones (RFC 4291, 2.5.5.2) and NAT64 (RFC 6052). */
const EMBEDDED_PREFIXES = ['::ffff:', '64:ff9b::']

const NETWORKS_6: typeof NETWORKS = {
  // Some cloud metadata services have a fixed address in a private range.
  forbidden: [
    ['::', 128],
    ['fe80::', 10],
    ['ff00::', 8],
    ['fd00:ec2::254', 128],
  ],
  loopback: [['::1', 128]],
  private: [['fc00::', 7]],
}

const KINDS = ['forbidden', 'loopback', 'private'] as const

/** Returns the kind of an IP address in text form. */
export function addressKinds(): (address: string) => AddressKind {
  const lists = KINDS.map((kind) => [kind, blockList(kind)] as const)
  return (address) => {
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    return lists.find(([, list]) => list.check(address, family))?.[0] ?? 'public'
  }
}

function blockList(kind: (typeof KINDS)[number]): BlockList {
  const list = new BlockList()
  for (const [address, bits] of NETWORKS[kind]) {
    list.addSubnet(address, bits, 'ipv4')
    for (const prefix of EMBEDDED_PREFIXES) list.addSubnet(prefix + address, 96 + bits, 'ipv6')
  }
  for (const [address, bits] of NETWORKS_6[kind]) list.addSubnet(address, bits, 'ipv6')
  return list
}
