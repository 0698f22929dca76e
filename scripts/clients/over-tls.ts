import { equal, rejects } from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { makeImage, sha256, writeDockerArchive, writeLayout } from '../lib/image.ts'
import { cosign3 } from './artifacts/cosign.ts'
import { helm3, helm4 } from './artifacts/helm.ts'
import type { CaseContext, Client } from './client.ts'
import { docker } from './containers/docker.ts'
import { podman } from './containers/podman.ts'
import { skopeo } from './containers/skopeo.ts'
import { crane } from './crane.ts'
import { oras } from './oras.ts'
import { regctl } from './regctl.ts'

/** The user of the clients, who can push only to repositories below this name. */
export const USER = 'alice'
export const PASSWORD = crypto.randomUUID()

/** One run of a client over HTTPS, without insecure flags. */
interface Round {
  client: Client
  /** The command that signs in, without the name, the password and the registry. */
  login: string[]
  /** Its flags for the name, and for a password on its standard input. */
  loginFlags?: [string, string]
  /** It only stores the password, without connecting. */
  loginAsksNobody?: true
  /** Creates the content to push. */
  prepare(context: CaseContext): Promise<void>
  /** Pushes it to a repository below a user's name. */
  push(context: CaseContext, owner: string): Promise<void>
  /** Pulls it from USER's, and compares. */
  pull(context: CaseContext): Promise<void>
}

const unknownAuthority = /x509|unknown authority|certificate/
const unauthenticated = /unauthorized|authentication required/i
const denied = /403\W{1,2}Forbidden|\bhttp 403\b|\bdenied: \S+ may not push to\b/im

const prepareLayout = async ({ folder }: CaseContext) =>
  writeLayout(join(folder, 'pushed'), await makeImage(), '1')

const rounds: Round[] = [
  {
    client: skopeo,
    login: ['skopeo', 'login'],
    prepare: prepareLayout,
    push: async ({ run, registry }, owner) =>
      void (await run`skopeo copy oci:pushed:1 docker://${registry}/${owner}/skopeo:1`),
    pull: async ({ run, registry }) => {
      await run`skopeo copy docker://${registry}/${USER}/skopeo:1 oci:pulled:1`
      await run`diff --recursive pushed/blobs pulled/blobs`
    },
  },
  {
    client: crane,
    login: ['crane', 'auth', 'login'],
    loginAsksNobody: true,
    prepare: prepareLayout,
    push: async ({ run, registry }, owner) =>
      void (await run`crane push pushed ${registry}/${owner}/crane:1`),
    pull: async ({ run, registry }) => {
      await run`crane pull --format oci ${registry}/${USER}/crane:1 pulled`
      await run`diff --recursive pushed/blobs pulled/blobs`
    },
  },
  storing('podman', podman, '{{.Id}}'),
  storing('docker', docker, '{{.Id}}'),
  {
    client: oras,
    login: ['oras', 'login'],
    prepare: async ({ folder }) => void (await Bun.write(join(folder, 'file.bin'), randomBytes(1_000_000))),
    push: async ({ run, registry }, owner) =>
      void (await run`oras push ${registry}/${owner}/oras:1 file.bin`),
    pull: async ({ run, registry }) => {
      await run`oras pull --output pulled ${registry}/${USER}/oras:1`
      await run`cmp file.bin pulled/file.bin`
    },
  },
  chart(helm3),
  chart(helm4),
  {
    client: regctl,
    login: ['regctl', 'registry', 'login'],
    loginFlags: ['--user', '--pass-stdin'],
    prepare: prepareLayout,
    push: async ({ run, registry }, owner) =>
      void (await run`regctl image copy ocidir://pushed:1 ${registry}/${owner}/regctl:1`),
    pull: async ({ run, registry }) => {
      const [from, to] = [`${registry}/${USER}/regctl:1`, `${registry}/${USER}/regctl/copy:1`]
      await run`regctl image copy ${from} ${to}`
      await run`regctl image copy ${to} ocidir://pulled:1`
      await run`diff --recursive pushed/blobs pulled/blobs`
      await run`regctl tag rm ${to}`
    },
  },
  {
    client: { ...cosign3, tools: ['cosign3', 'crane'] },
    login: ['cosign', 'login'],
    loginAsksNobody: true,
    async prepare(context) {
      await prepareLayout(context)
      await context.run`cosign generate-key-pair`
    },
    async push({ run, registry }, owner) {
      const name = await run`crane push pushed ${registry}/${owner}/cosign:1`
      const flags = ['--tlog-upload=false', '--use-signing-config=false', '--yes', '--key', 'cosign.key']
      await run`cosign sign ${flags} ${name.trim()}`
    },
    async pull({ run, registry }) {
      const name = `${registry}/${USER}/cosign:1`
      const verify = ['cosign', 'verify', '--key', 'cosign.pub', '--insecure-ignore-tlog']
      await run`${verify} ${name}`
      await run`cosign clean --force ${name}`
      await rejects(run`${verify} ${name}`, /no signatures/)
    },
  },
]

/** Cases before the host trusts the registry's authority: each client refuses the certificate. */
export const distrusting: Client[] = rounds.map((round) => ({
  ...round.client,
  cases: {
    ...(!round.loginAsksNobody && {
      'does not sign in to an authority that is not trusted': (context) =>
        rejects(login(round, context), unknownAuthority),
    }),
    'does not push to an authority that is not trusted': async (context) => {
      await round.prepare(context)
      await rejects(round.push(context, USER), unknownAuthority)
    },
  },
}))

/** Cases after the host trusts it. */
export const trusting: Client[] = rounds.map((round) => ({
  ...round.client,
  cases: {
    'does not push before it signs in': async (context) => {
      await round.prepare(context)
      await rejects(round.push(context, USER), unauthenticated)
    },
    'login, push and pull over HTTPS': async (context) => {
      await login(round, context)
      await round.prepare(context)
      await round.push(context, USER)
      await round.pull(context)
    },
    "does not push to another user's repository": async (context) => {
      await round.prepare(context)
      await rejects(round.push(context, 'bob'), denied)
    },
  },
}))

async function login(round: Round, { registry, runWithInput }: CaseContext): Promise<void> {
  const [name, password] = round.loginFlags ?? ['--username', '--password-stdin']
  await runWithInput(PASSWORD, ...round.login, name, USER, password, registry)
}

/** A client that pushes from a storage of its own, whose images have ids. */
function storing(program: string, client: Client, id: string): Round {
  const name = (registry: string, owner = USER) => `${registry}/${owner}/${program}:1`
  const idOf = async ({ run, registry }: CaseContext) =>
    (await run`${program} image inspect --format ${id} ${name(registry)}`).trim().replace('sha256:', '')
  return {
    client,
    login: [program, 'login'],
    async prepare({ run, folder, registry }) {
      const image = await makeImage()
      await writeDockerArchive(join(folder, 'pushed.tar'), image, name(registry))
      await Bun.write(join(folder, 'id'), sha256(image.config).replace('sha256:', ''))
      await run`${program} load --input pushed.tar`
    },
    async push({ run, registry }, owner) {
      if (owner !== USER) await run`${program} tag ${name(registry)} ${name(registry, owner)}`
      await run`${program} push ${name(registry, owner)}`
    },
    async pull(context) {
      const { run, folder, registry } = context
      await run`${program} rmi ${name(registry)}`
      await run`${program} pull ${name(registry)}`
      equal(await idOf(context), await Bun.file(join(folder, 'id')).text())
    },
  }
}

function chart(client: Client): Round {
  return {
    client,
    login: ['helm', 'registry', 'login'],
    async prepare({ run, folder }) {
      const text = 'apiVersion: v2\nname: quay\nversion: 0.1.0\n'
      await Bun.write(join(folder, 'quay', 'Chart.yaml'), text)
      await run`helm package quay`
    },
    push: async ({ run, registry }, owner) =>
      void (await run`helm push quay-0.1.0.tgz oci://${registry}/${owner}/${client.name}`),
    async pull({ run, folder, registry }) {
      await mkdir(join(folder, 'pulled'))
      const url = `oci://${registry}/${USER}/${client.name}/quay`
      await run`helm pull ${url} --version 0.1.0 --destination pulled`
      await run`cmp quay-0.1.0.tgz pulled/quay-0.1.0.tgz`
    },
  }
}
