import { ADDRESS, type Desk, PASSWORD } from './desk.ts'
import type { Terminal } from './transcript.ts'

/** Shows that two names have the same manifest. */
const COMPARE = 'cmp <(skopeo inspect --raw oci:layout) <(skopeo inspect --raw oci:pulled) && echo same'

/** alice pushes, pulls, and is denied what she has no role for. */
export async function pushFromLaptop({ transcript, laptop }: Desk): Promise<void> {
  transcript.heading('Push and pull from the laptop')
  await laptop.type(`skopeo login ${ADDRESS} -u alice`, { answers: ['wrong-password'], exit: 1 })
  await laptop.type(`skopeo login ${ADDRESS} -u alice`, { answers: [PASSWORD], shows: /Login Succeeded/ })
  await laptop.type(`skopeo copy --quiet oci:layout docker://${ADDRESS}/team/app:1.0`)
  await denied(laptop, 'push', 'bob/app:1.0')
  await laptop.type(`skopeo copy --quiet docker://${ADDRESS}/team/app:1.0 oci:pulled`)
  await laptop.type(COMPARE, { shows: /^same$/m })
  await denied(laptop, 'pull', 'bob/app:1.0')
}

/** CI signs in with the robot's token, and can push where the robot has a role. */
export async function pushFromCi({ guide, transcript, ci }: Desk, token: string): Promise<void> {
  transcript.heading('CI, with a token')
  const docker =
    guide.name === 'readme'
      ? guide.command(`printf %s "$CAY_CI_TOKEN" | docker login ${ADDRESS}`)
      : `printf %s "$CAY_CI_TOKEN" | docker login ${ADDRESS} -u alice+ci --password-stdin`
  await ci.type(`export CAY_CI_TOKEN=${token}`)
  await ci.type(docker.replace('docker login', 'skopeo login'), { shows: /Login Succeeded/ })
  await ci.type(`skopeo copy --quiet oci:layout docker://${ADDRESS}/alice/app:1.0`)
  await denied(ci, 'push', 'team/app:1.1')
  await ci.type(docker.replace('docker login', 'crane auth login'), { shows: /logged in/ })
  await ci.type(`crane digest ${ADDRESS}/alice/app:1.0`, { shows: /^sha256:[0-9a-f]{64}$/m })
  await ci.type(`crane copy ${ADDRESS}/alice/app:1.0 ${ADDRESS}/alice/app:latest`)
}

/** Tries a push or a pull that must be denied, with words that say who may not do what. */
async function denied(terminal: Terminal, kind: 'push' | 'pull', name: string): Promise<void> {
  const commands = {
    push: `skopeo copy --quiet oci:layout docker://${ADDRESS}/${name}`,
    pull: `skopeo inspect docker://${ADDRESS}/${name}`,
  }
  const preposition = { push: 'to', pull: 'from' }[kind]
  const account = terminal.host.name === 'ci' ? 'alice\\+ci' : 'alice'
  const repository = name.split(':')[0]
  const shows = new RegExp(`denied: ${account} may not ${kind} ${preposition} ${repository}: needs`)
  await terminal.type(commands[kind], { exit: 1, shows })
}
