import { sha256 } from '../../lib/image.ts'
import { type Peer, startPeer } from '../../lib/peers.ts'
import { temporaryFolder } from '../../lib/temporary-folder.ts'
import type { Bench } from '../lib/case.ts'
import { type Content, memory, repository } from './content.ts'
import type { Upstream } from './load.ts'

/** A registry that has nothing of its upstream yet. */
export interface ColdCache {
  peer: Peer
  /** The URL of something below the upstream's repository. */
  url(path: string): string
}

/** Starts a registry in front of an upstream, with its data in memory, for one measurement. */
export async function withColdCache<T>(
  { executables }: Bench,
  upstream: Upstream,
  work: (cache: ColdCache) => Promise<T>,
  name: 'cay' | 'docker-registry' = 'cay',
): Promise<T> {
  await using folder = await temporaryFolder('bench-cache', memory)
  const options = { data: folder.path, upstream: upstream.address }
  await using peer = await startPeer(executables, name, options)
  const prefix = name === 'cay' ? 'up.example/' : ''
  const url = (path: string) => `http://127.0.0.1:${peer.port}/v2/${prefix}${repository}/${path}`
  return await work({ peer, url })
}

/** Pulls the manifest by its tag, as clients do before they pull blobs. */
export async function pullManifest(url: string, content: Content): Promise<void> {
  const headers = { accept: 'application/vnd.oci.image.manifest.v1+json' }
  const response = await fetch(url, { headers })
  if (sha256(await response.bytes()) !== content.manifestDigest)
    throw new Error(`GET ${url}: ${response.status}`)
}
