import { equal, rejects } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { CaseContext, Client } from './client.ts'
import { crane } from './crane.ts'
import { docker } from './docker.ts'
import { helm3, helm4 } from './helm.ts'
import { makeImage, sha256, writeDockerArchive, writeLayout } from './image.ts'
import { oras } from './oras.ts'
import { podman } from './podman.ts'
import { skopeo } from './skopeo.ts'

/** One round of a client over HTTPS, without a flag that weakens it. */
interface Round {
  client: Client
  /** Makes what is pushed. */
  prepare(context: CaseContext): Promise<void>
  push(context: CaseContext): Promise<void>
  /** Pulls it, and compares. */
  pull(context: CaseContext): Promise<void>
}

const unknownAuthority = /x509|unknown authority|certificate/

const prepareLayout = async ({ folder }: CaseContext) =>
  writeLayout(join(folder, 'pushed'), await makeImage(), '1')

const rounds: Round[] = [
  {
    client: skopeo,
    prepare: prepareLayout,
    push: async ({ run, registry }) =>
      void (await run('skopeo', 'copy', 'oci:pushed:1', `docker://${registry}/tls/skopeo:1`)),
    pull: async ({ run, registry }) => {
      await run('skopeo', 'copy', `docker://${registry}/tls/skopeo:1`, 'oci:pulled:1')
      await run('diff', '--recursive', 'pushed/blobs', 'pulled/blobs')
    },
  },
  {
    client: crane,
    prepare: prepareLayout,
    push: async ({ run, registry }) => void (await run('crane', 'push', 'pushed', `${registry}/tls/crane:1`)),
    pull: async ({ run, registry }) => {
      await run('crane', 'pull', '--format', 'oci', `${registry}/tls/crane:1`, 'pulled')
      await run('diff', '--recursive', 'pushed/blobs', 'pulled/blobs')
    },
  },
  storing('podman', podman, '{{.Id}}'),
  storing('docker', docker, '{{.Id}}'),
  {
    client: oras,
    prepare: async ({ folder }) => void (await Bun.write(join(folder, 'file.bin'), randomBytes(1_000_000))),
    push: async ({ run, registry }) => void (await run('oras', 'push', `${registry}/tls/oras:1`, 'file.bin')),
    pull: async ({ run, registry }) => {
      await run('oras', 'pull', '--output', 'pulled', `${registry}/tls/oras:1`)
      await run('cmp', 'file.bin', 'pulled/file.bin')
    },
  },
  chart(helm3),
  chart(helm4),
]

/** The clients before their host trusts the registry's authority: each refuses to push, because of its certificate. */
export const distrusting: Client[] = rounds.map(({ client, prepare, push }) => ({
  ...client,
  cases: {
    'does not push to an authority that is not trusted': async (context) => {
      await prepare(context)
      await rejects(push(context), unknownAuthority)
    },
  },
}))

/** The clients when their host trusts it. */
export const trusting: Client[] = rounds.map(({ client, prepare, push, pull }) => ({
  ...client,
  cases: {
    'push and pull over HTTPS': async (context) => {
      await prepare(context)
      await push(context)
      await pull(context)
    },
  },
}))

/** A client that pushes from a storage of its own, whose images have ids. */
function storing(program: string, client: Client, id: string): Round {
  const name = (registry: string) => `${registry}/tls/${program}:1`
  const idOf = async ({ run, registry }: CaseContext) =>
    (await run(program, 'image', 'inspect', '--format', id, name(registry))).trim().replace('sha256:', '')
  return {
    client,
    async prepare({ run, folder, registry }) {
      const image = await makeImage()
      await writeDockerArchive(join(folder, 'pushed.tar'), image, name(registry))
      await Bun.write(join(folder, 'id'), sha256(image.config).replace('sha256:', ''))
      await run(program, 'load', '--input', 'pushed.tar')
    },
    push: async ({ run, registry }) => void (await run(program, 'push', name(registry))),
    async pull(context) {
      const { run, folder, registry } = context
      await run(program, 'rmi', name(registry))
      await run(program, 'pull', name(registry))
      equal(await idOf(context), await Bun.file(join(folder, 'id')).text())
    },
  }
}

function chart(client: Client): Round {
  return {
    client,
    async prepare({ run, folder }) {
      const text = 'apiVersion: v2\nname: quay\nversion: 0.1.0\n'
      await Bun.write(join(folder, 'quay', 'Chart.yaml'), text)
      await run('helm', 'package', 'quay')
    },
    push: async ({ run, registry }) =>
      void (await run('helm', 'push', 'quay-0.1.0.tgz', `oci://${registry}/tls/${client.name}`)),
    async pull({ run, folder, registry }) {
      await mkdir(join(folder, 'pulled'))
      const url = `oci://${registry}/tls/${client.name}/quay`
      await run('helm', 'pull', url, '--version', '0.1.0', '--destination', 'pulled')
      await run('cmp', 'quay-0.1.0.tgz', 'pulled/quay-0.1.0.tgz')
    },
  }
}
