import { match, rejects } from 'node:assert/strict'
import { join } from 'node:path'
import { makeImage, writeDockerArchive, writeLayout } from '../lib/image.ts'
import { Registry } from '../lib/registry.ts'
import { startServer } from '../lib/server.ts'
import type { CaseContext, Client } from './client.ts'
import { containerdHome } from './containers/containerd.ts'
import { containersHome } from './containers/containers-home.ts'
import { startEngine } from './containers/docker.ts'

const password = 'correct-horse-battery'

/** Clients that sign in on one host, with one auth file, at a registry with accounts. */
export const signIn: Client = {
  name: 'sign-in',
  tools: ['docker', 'dockerd', 'containerd', 'skopeo', 'podman', 'buildah', 'crane', 'oras', 'helm3'],
  setUp: async (home) => {
    const { env } = await containersHome(home)
    const engine = await startEngine(home)
    const daemon = await containerdHome(join(home, 'containerd'))
    const tearDown = async () => {
      await engine.tearDown()
      await daemon.tearDown()
    }
    return {
      env: { ...env, ...engine.env, ...daemon.env, AUTH: join(home, '.docker/config.json') },
      tearDown,
    }
  },
  cases: {
    async 'each client pulls with the login of each other client'(context) {
      await using registry = await startRegistry(context, 'writer')
      const { shell } = registry
      await shell(LOGINS.helm)
      await shell('helm create chart && helm package chart')
      await shell('helm push --plain-http --registry-config $AUTH chart-0.1.0.tgz oci://$R/team')
      for (const login of Object.values(LOGINS)) {
        await shell(login)
        for (const pull of Object.values(PULLS)) await shell(pull)
      }
    },
    async 'a refused push or pull says why'(context) {
      await using registry = await startRegistry(context, 'reader')
      const { shell, address } = registry
      await writeDockerArchive(join(context.folder, 'image.tar'), await makeImage(), `${address}/team/app:1`)
      await writeLayout(join(context.folder, 'image2'), await makeImage(), '1')
      await shell(LOGINS.docker)
      await shell('docker load --input image.tar')
      await shell('tar --create --file layout.tar --directory image2 .')
      await shell('ctr images import --no-unpack --base-name $R/team/other layout.tar')
      const push = /alice may not push to team\/app: needs writer/
      const pull = /alice may not pull from secret\/app: needs reader/
      for (const [reason, command] of [
        [push, 'docker push $R/team/app:1'],
        [push, 'skopeo copy --dest-tls-verify=false --authfile $AUTH oci:image:1 docker://$R/team/app:2'],
        [
          push,
          'podman push --tls-verify=false --authfile $AUTH $(podman pull --quiet oci:image:1) $R/team/app:2',
        ],
        [push, 'crane push --insecure image $R/team/app:2'],
        [push, 'oras push --plain-http --registry-config $AUTH $R/team/app:2 password'],
        [push, 'ctr images push --plain-http --user alice:$P $R/team/app:2 $R/team/other:1'],
        [pull, 'docker pull $R/secret/app:1'],
        [pull, 'skopeo inspect --tls-verify=false --authfile $AUTH docker://$R/secret/app:1'],
        [pull, 'podman pull --tls-verify=false --authfile $AUTH $R/secret/app:1'],
        [pull, 'crane digest --insecure $R/secret/app:1'],
        [pull, 'oras pull --plain-http --registry-config $AUTH $R/secret/app:1'],
        [pull, 'ctr images pull --plain-http --user alice:$P $R/secret/app:1'],
      ] as const)
        await rejects(shell(command), (error: Error) => {
          match(error.message, reason, command)
          return true
        })
    },
  },
}

/** The commands that write the auth file. `$R` is the registry, `$P` the password, and `$AUTH` the file. */
const LOGINS = {
  docker: 'docker login --username alice --password-stdin $R <password',
  podman: 'podman login --tls-verify=false --authfile $AUTH --username alice --password-stdin $R <password',
  skopeo: 'skopeo login --tls-verify=false --authfile $AUTH --username alice --password-stdin $R <password',
  buildah: 'buildah login --tls-verify=false --authfile $AUTH --username alice --password-stdin $R <password',
  crane: 'crane auth login $R --username alice --password-stdin <password',
  oras: 'oras login --plain-http --registry-config $AUTH --username alice --password-stdin $R <password',
  helm: 'helm registry login --plain-http --registry-config $AUTH --username alice --password-stdin $R <password',
}

/** The commands that read it. */
const PULLS = {
  docker: 'docker pull $R/team/app:1',
  podman: 'podman pull --tls-verify=false --authfile $AUTH $R/team/app:1',
  skopeo: 'skopeo inspect --tls-verify=false --authfile $AUTH --raw docker://$R/team/app:1',
  buildah: 'buildah pull --tls-verify=false --authfile $AUTH $R/team/app:1',
  crane: 'crane manifest --insecure $R/team/app:1',
  oras: 'oras manifest fetch --plain-http --registry-config $AUTH $R/team/app:1',
  helm: 'helm pull --plain-http --registry-config $AUTH oci://$R/team/chart --version 0.1.0',
}

/** Starts a registry where alice has a role on `team/*`, with the image `team/app:1`. */
async function startRegistry({ folder, run }: CaseContext, role: 'reader' | 'writer') {
  const server = await startServer({ access: 'accounts', env: { CAY_ADMIN_PASSWORD: password } })
  const { address } = server
  const registry = new Registry(`admin:${password}@${address}`)
  await registry.api('PUT', '/users/alice', { password })
  await registry.api('PUT', '/grants', { subject: 'alice', pattern: 'team/*', role })
  await writeLayout(join(folder, 'image'), await makeImage(), '1')
  await Bun.write(join(folder, 'password'), password)
  const copy = ['skopeo', 'copy', '--dest-tls-verify=false', '--dest-creds', `admin:${password}`]
  await run`${copy} oci:image:1 docker://${address}/team/app:1`
  return {
    address,
    /** Runs a line of shell, and returns its output. */
    shell: (line: string) => run`sh -c ${`R=${address} P=${password}; ${line}`}`,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  }
}
