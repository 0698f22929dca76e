import { ADDRESS, type Desk } from './desk.ts'

/** Who pulled, who changed what, and who was denied. */
export async function audit({ guide, transcript, server }: Desk): Promise<void> {
  transcript.heading('Who did what')
  await server.type('cay repo list', { shows: /^alice\/app +2 [\s\S]*^team\/app +1 /m })
  await server.type('cay tag list team/app', { shows: /^1\.0 +sha256:/m })
  // Pulls are written in batches.
  await server.type('until cay repo pulls team/app | grep alice; do sleep 1; done', { shows: /1\.0 +alice/ })
  await server.type('cay audit', {
    shows: /grant\.set[\s\S]*token\.create[\s\S]*robot\.create[\s\S]*user\.create/,
    lines: 30,
  })
  await server.type(guide.command('cay audit --kind').replace(/--kind \S+/, '--kind denied'), {
    shows: /alice\+ci +denied +push to team\/app[\s\S]*alice +denied +push to bob\/app/,
  })
  await server.type('cay audit --kind failed-sign-in', { shows: /alice +\S*sign-in/ })
  await server.type('cay token list alice+ci', { shows: /token +first/ })
}

/** A deleted tag is gone for clients at once, and comes back with the same bytes. */
export async function undo({ guide, transcript, server, laptop }: Desk): Promise<void> {
  transcript.heading('Delete a tag, and restore it')
  const inspect = `skopeo inspect --format '{{.Digest}}' docker://${ADDRESS}/team/app:1.0`
  const digest = (await laptop.type(inspect, { shows: /^sha256:/ })).trim()
  if (guide.name === 'help') {
    await server.type('cay help tag', { shows: /delete, rm[\s\S]*restore/, lines: 30 })
  }
  const [remove, restore] =
    guide.name === 'readme'
      ? [guide.command('cay tag delete'), guide.command('cay tag restore')].map((line) =>
          line.replace(/(delete|restore) \S+ \S+.*/, '$1 team/app 1.0'),
        )
      : ['cay tag delete team/app:1.0', 'cay tag restore team/app:1.0']
  await server.type(remove ?? '', { answers: ['y'] })
  await laptop.type(inspect, { exit: 1, shows: /manifest unknown/, lines: 2 })
  await server.type(restore ?? '')
  await laptop.type(inspect, { shows: new RegExp(`^${digest}$`, 'm') })
}

/** Collects garbage, makes a backup, and restores it elsewhere. */
export async function keep({ guide, transcript, serving, server }: Desk): Promise<void> {
  transcript.heading('Garbage collection, backup and restore')
  await server.type('cay gc --dry-run')
  await server.type('cay gc')
  const folder = '/mnt/backup/cay'
  const backup = guide.command('cay backup').replace('FOLDER', folder)
  await server.type(backup)
  if (guide.name === 'help')
    await server.type('cay help backup', { shows: /--verify[\s\S]*--list/, lines: 30 })
  await server.type(`${backup} --list`)
  await server.type(`${backup} --verify`)
  if (guide.name === 'help') await server.type('cay help restore', { shows: /--data/ })
  await server.type(`cay restore ${folder} --data /srv/new`)
  await serving.shell.interrupt()
  transcript.output(await serving.start('cay serve --data /srv/new', /listening.*\n/))
  await server.type('cay repo list --data /srv/new', { shows: /^alice\/app +2 [\s\S]*^team\/app +1 /m })
  await server.type('cay fsck --data /srv/new')
  await serving.shell.interrupt()
}
