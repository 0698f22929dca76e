import { deepEqual, equal, ok, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import { makeImage } from '../../lib/image.ts'
import { Registry } from '../../lib/registry.ts'
import type { Client } from '../client.ts'
import { Published } from '../published.ts'

const formats = { spdx: 'application/spdx+json', cyclonedx: 'application/vnd.cyclonedx+json' }

const packages = `Package: harbour
Status: install ok installed
Architecture: amd64
Version: 1.2.3
Maintainer: Quay <quay@example.org>
Description: a package
`

/** syft: reads an image from the registry, and lists its packages. oras attaches the list to the image. */
export const syft: Client = {
  name: 'syft',
  tools: ['syft', 'oras'],
  async setUp() {
    return { env: { SYFT_REGISTRY_INSECURE_USE_HTTP: 'true', SYFT_CHECK_FOR_APP_UPDATE: 'false' } }
  },
  cases: {
    async 'SBOMs of an image, attached, found by type, pulled and deleted'({ registry, folder, run }) {
      const release = 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Debian GNU/Linux 12"\n'
      const image = await makeImage({
        files: [{ 'etc/os-release': release }, { 'var/lib/dpkg/status': packages }],
      })
      await new Registry(registry).pushContent('syft/image', '1', image)
      const { digest } = image.descriptor
      const name = `${registry}/syft/image`
      const outputs = ['--output', 'spdx-json=spdx.json', '--output', 'cyclonedx-json=cyclonedx.json']
      await run`syft scan --quiet registry:${name}:1 ${outputs}`
      const found = await Bun.file(join(folder, 'spdx.json')).json()
      ok(
        found.packages.some(
          (one: { name: string; versionInfo: string }) =>
            one.name === 'harbour' && one.versionInfo === '1.2.3',
        ),
      )
      const published = new Published(registry, 'syft/image')
      for (const [format, type] of Object.entries(formats)) {
        const file = `${format}.json`
        const attach = ['oras', 'attach', '--plain-http', '--artifact-type', type]
        await run`${attach} ${name}:1 ${file}:${type}`
        const discover = ['oras', 'discover', '--plain-http', '--format', 'json', '--artifact-type', type]
        const { referrers } = JSON.parse(await run`${discover} ${name}:1`)
        equal(referrers.length, 1)
        await run`oras pull --plain-http --output pulled ${name}@${referrers[0].digest}`
        await run`cmp ${file} ${join('pulled', file)}`
      }
      const types = (await published.referrers(digest)).map(({ artifactType }) => artifactType)
      deepEqual(types.sort(), Object.values(formats).sort())
      await run`oras manifest delete --plain-http --force ${name}@${digest}`
      await published.expectGone('1', digest)
      await rejects(run`syft scan registry:${name}:1`, /MANIFEST_UNKNOWN|404/)
    },
  },
}
