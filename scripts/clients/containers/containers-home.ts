import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Prepares a home for the clients that share containers/image and containers/storage (podman, buildah, skopeo), so that
 * they read none of the machine's configuration and keep all that they store below it.
 */
export async function containersHome(home: string): Promise<{ env: Record<string, string> }> {
  const [runtime, storage] = [join(home, 'run'), join(home, 'storage')]
  await mkdir(runtime, { mode: 0o700 })
  const files = {
    '.config/containers/policy.json': JSON.stringify({ default: [{ type: 'insecureAcceptAnything' }] }),
    'registries.conf': 'unqualified-search-registries = []\n',
    'storage.conf': `[storage]\ndriver = "vfs"\ngraphroot = "${storage}"\nrunroot = "${runtime}/storage"\n`,
    'containers.conf': [
      '[engine]',
      'cgroup_manager = "cgroupfs"',
      'events_logger = "none"',
      'lock_type = "file"',
      `tmp_dir = "${runtime}/libpod"`,
      '',
    ].join('\n'),
  }
  for (const [path, text] of Object.entries(files)) await Bun.write(join(home, path), text)
  return {
    env: {
      XDG_RUNTIME_DIR: runtime,
      // Otherwise the clients use root's cache of blob locations, /var/lib/containers/cache.
      _CONTAINERS_ROOTLESS_UID: '1',
      CONTAINERS_CONF: join(home, 'containers.conf'),
      CONTAINERS_REGISTRIES_CONF: join(home, 'registries.conf'),
      CONTAINERS_STORAGE_CONF: join(home, 'storage.conf'),
    },
  }
}
