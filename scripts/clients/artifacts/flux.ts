import { deepEqual, equal, match, rejects } from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Client } from '../client.ts'
import { Published } from '../published.ts'

const revision = 'main@sha1:0123456789012345678901234567890123456789'

/** flux: manifests for Kubernetes in an artifact, which its source controller pulls. */
export const flux: Client = {
  name: 'flux',
  tools: ['flux'],
  cases: {
    async 'push, tag, list, diff, pull and delete of an artifact'({ registry, folder, run }) {
      const configMap = {
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'harbour' },
        data: { ships: '3' },
      }
      await Bun.write(join(folder, 'deploy', 'config.yaml'), JSON.stringify(configMap))
      const url = `oci://${registry}/flux/deploy`
      const plain = '--insecure-registry'
      const source = ['--source', 'https://example.org/deploy.git', '--revision', revision]
      await run`flux push artifact ${url}:1 --path deploy ${plain} ${source}`
      await run`flux tag artifact ${url}:1 --tag latest`
      const listed = await run`flux list artifacts ${url} ${plain}`
      match(listed, /deploy:1\s.*main@sha1:0123/)
      await run`flux diff artifact ${url}:latest --path deploy ${plain}`
      await mkdir(join(folder, 'pulled'))
      await run`flux pull artifact ${url}:latest --output pulled ${plain}`
      await run`diff --recursive deploy pulled`
      const published = new Published(registry, 'flux/deploy')
      await published.expectTags('1', 'latest')
      const { json } = await published.manifest('1')
      equal(json.config.mediaType, 'application/vnd.cncf.flux.config.v1+json')
      deepEqual(
        json.layers.map(({ mediaType }: { mediaType: string }) => mediaType),
        ['application/vnd.cncf.flux.content.v1.tar+gzip'],
      )
      await published.delete('latest')
      await rejects(run`flux pull artifact ${url}:1 --output pulled ${plain}`, /MANIFEST_UNKNOWN|404/)
    },
  },
}
