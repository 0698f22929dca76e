import { t } from 'elysia'
import { operation, type RoutesOf } from '../http/operation.ts'
import {
  AccountName,
  integer,
  Name,
  oneOf,
  PageQuery,
  Password,
  Pattern,
  pageOf,
  pageParameters,
  RepositoryParam,
  RobotName,
  RoleName,
  RuleModel,
  Time,
  time,
} from '../http/schemas.ts'

const UserModel = t.Object(
  {
    name: Name,
    admin: t.Boolean({ description: 'Whether it is a server admin' }),
    disabled: t.Boolean(),
    createdAt: Time,
  },
  { description: 'A user' },
)

const CurrentPassword = t.Optional(
  t.String({
    maxLength: 72,
    description: 'The current password; required to change your own password with a token or a session',
  }),
)

const RobotModel = t.Object(
  { name: RobotName, disabled: t.Boolean(), createdAt: Time },
  { description: 'A robot' },
)

const GroupModel = t.Object({ name: Name, members: t.Array(AccountName) }, { description: 'A group' })

const CallerModel = t.Object(
  {
    account: t.Optional(AccountName),
    admin: t.Boolean({ description: 'Whether the caller may do everything' }),
    openAccess: t.Boolean({
      description: 'Whether nobody needs to authenticate: the setting access is open',
    }),
    catalogAccess: t.Boolean({ description: 'Whether the caller may list repositories' }),
    session: t.Optional(
      t.Object({
        expiresAt: Time,
        csrfToken: t.String({ description: 'Send it in the x-csrf-token header of each change' }),
      }),
    ),
  },
  { description: 'The caller. Without a valid session or credential, an anonymous one' },
)

const SubjectName = t.String({
  maxLength: 140,
  description: '"anonymous", "authenticated", "group:NAME", or the name of a user or robot',
  example: 'group:team',
})

const GrantModel = t.Object(
  { subject: SubjectName, pattern: Pattern, role: RoleName, createdAt: Time },
  { description: 'A grant' },
)

const IN_OWN_NAMESPACE = 'Users may change grants in their own namespace; elsewhere only server admins may.'

const TO_WHOM =
  'Only server admins may grant to anonymous and authenticated, unless grants.public-by-admins-only is false. To hide ' +
  'which accounts exist, a grant to an unknown account or group is accepted and listed, but has no effect.'

const Actions = t.Array(oneOf(['pull', 'push', 'delete']))

const Explained = t.Object(
  {
    actions: Actions,
    disabled: t.Boolean({ description: 'Whether the account or its owner is disabled' }),
    reasons: t.Array(
      t.Object({
        source: oneOf(
          ['open', 'server-admin', 'own-namespace', 'account', 'group', 'authenticated', 'anonymous'],
          'The source of the permission: the subject of a grant, or the status of the account',
        ),
        subject: t.Optional(t.String({ description: 'The subject of the grant', example: 'group:team' })),
        pattern: t.Optional(Pattern),
        role: t.Optional(RoleName),
        actions: Actions,
      }),
      { description: 'The permissions of the account, which add up' },
    ),
    limits: t.Array(
      t.Object({
        source: oneOf(['owner', 'credential']),
        name: t.String({ description: "The owner's name, or the token's id", example: 'alice' }),
        actions: Actions,
      }),
      { description: 'Limits, all of which must allow the action' },
    ),
  },
  { description: 'What the account may do in the repository, and why' },
)

const SessionModel = t.Object(
  {
    account: Name,
    admin: t.Boolean({ description: 'Whether the account is a server admin' }),
    expiresAt: Time,
    csrfToken: t.String({
      description: 'Send it in the x-csrf-token header of each change',
      example: 'kZ3vB0Sg8b0vLr0m1T2Zq4m0o9mJv2K8mVtN2b0fXkQ',
    }),
  },
  { description: 'The current session' },
)

const KEY = { id: t.String({ description: 'The `kid` in its tokens' }), createdAt: Time }

const SigningKeyModel = t.Object(
  { ...KEY, expiresAt: t.Optional(time('When the key expires, if it was replaced')) },
  { description: 'A key' },
)

const NewKey = t.Object(
  { ...KEY, othersExpireAt: time('When the other keys expire') },
  { description: 'The new signing key' },
)

const members = {
  id: t.String(),
  kind: oneOf(
    ['token', 'refresh'],
    'refresh: a client got it from POST /token for the password; its name is the client id',
  ),
  name: t.String(),
  createdAt: Time,
  expiresAt: t.Optional(Time),
  lastUsedAt: t.Optional(Time),
  scope: t.Optional(t.Array(RuleModel)),
}

const TokenModel = t.Object(members, { description: 'A token' })

const NewToken = t.Object(
  { ...members, secret: t.String({ description: 'Shown only once' }) },
  { description: 'The token' },
)

const Act = t.Object({
  at: Time,
  firstAt: t.Optional(Time),
  count: t.Optional(integer({ minimum: 1, description: 'How many times since `firstAt`' })),
  action: t.String({ description: 'Such as `user.create`, `grant.set` or `token.delete`' }),
  target: t.String(),
  details: t.Record(t.String(), t.Union([t.String(), t.Number(), t.Boolean(), t.Array(t.String())])),
  account: t.Optional(t.String()),
  credentialId: t.Optional(t.String({ description: 'The id of the token, if one was used' })),
  address: t.String({ description: 'The IP address of the client', example: '192.0.2.7' }),
  requestId: t.String(),
})

/** The kinds of entries, as the audit log names them. */
export const KIND_OF = {
  change: 'change',
  denied: 'refused',
  'sign-in': 'signed-in',
  'failed-sign-in': 'failed',
} as const

const KINDS = Object.keys(KIND_OF) as [keyof typeof KIND_OF, ...(keyof typeof KIND_OF)[]]

const named = t.Object({ name: Name })

const robot = t.Object({ name: RobotName })

const ofAccount = t.Object({ account: AccountName })

const ofToken = t.Object({ account: AccountName, id: t.String({ maxLength: 64 }) })

/** A resource whose changes can depend on its version. */
const VERSIONED = { etag: true, errors: ['NOT_FOUND'] } as const

/** A change of users, which must leave a server admin. */
const KEEPS_ADMIN = { etag: true, errors: ['NOT_FOUND', 'CONFLICT'] } as const

/** The routes below /api/v1. */
export const ROUTES = {
  users: {
    get: operation('listUsers', 'admin', 'List users', {
      query: PageQuery,
      answer: pageOf(UserModel, 'Users'),
    }),
  },
  'users/:name': {
    get: operation('getUser', 'self', 'Show a user', { params: named, answer: UserModel, ...VERSIONED }),
    put: operation('putUser', 'admin', 'Create a user, or replace its password and role', {
      params: named,
      body: t.Object({
        currentPassword: CurrentPassword,
        password: t.Optional(Password),
        passwordHash: t.Optional(
          t.String({ maxLength: 60, description: 'A bcrypt hash, as in htpasswd, instead of the password' }),
        ),
        admin: t.Optional(t.Boolean()),
      }),
      answer: UserModel,
      creates: 'unless-it-exists',
      etag: true,
      errors: ['CONFLICT'],
    }),
    patch: operation('updateUser', 'self', 'Change a user', {
      description: 'Users may change their own password; everything else needs a server admin.',
      params: named,
      body: t.Object({
        currentPassword: CurrentPassword,
        password: t.Optional(Password),
        admin: t.Optional(t.Boolean()),
        disabled: t.Optional(t.Boolean()),
      }),
      answer: UserModel,
      ...KEEPS_ADMIN,
    }),
    delete: operation('deleteUser', 'admin', 'Delete a user with its robots, tokens and grants', {
      params: named,
      ...KEEPS_ADMIN,
    }),
  },
  'users/:name/unlock': {
    post: operation('unlockUser', 'admin', 'Unlock a user after too many failed logins', {
      params: named,
      errors: ['NOT_FOUND'],
    }),
  },
  robots: {
    get: operation('listRobots', 'account', 'List robots: all for server admins, otherwise your own', {
      query: PageQuery,
      answer: pageOf(RobotModel, 'Robots'),
    }),
  },
  'robots/:name': {
    get: operation('getRobot', 'self', 'Show a robot', { params: robot, answer: RobotModel, ...VERSIONED }),
    put: operation('putRobot', 'self', 'Create a robot', {
      params: robot,
      answer: RobotModel,
      creates: 'unless-it-exists',
      ...VERSIONED,
    }),
    patch: operation('updateRobot', 'self', 'Disable or enable a robot', {
      params: robot,
      body: t.Object({ disabled: t.Boolean() }),
      answer: RobotModel,
      ...VERSIONED,
    }),
    delete: operation('deleteRobot', 'self', 'Delete a robot with its tokens and grants', {
      params: robot,
      ...VERSIONED,
    }),
  },
  groups: {
    get: operation('listGroups', 'admin', 'List groups', {
      query: PageQuery,
      answer: pageOf(t.Object({ name: Name }), 'Groups'),
    }),
  },
  'groups/:name': {
    get: operation('getGroup', 'admin', 'Show a group', { params: named, answer: GroupModel, ...VERSIONED }),
    put: operation('putGroup', 'admin', 'Create a group', {
      params: named,
      answer: GroupModel,
      creates: 'unless-it-exists',
      etag: true,
    }),
    patch: operation('updateGroup', 'admin', 'Add and remove members', {
      params: named,
      body: t.Object({
        add: t.Optional(t.Array(AccountName, { maxItems: 100, example: ['alice'] })),
        remove: t.Optional(t.Array(AccountName, { maxItems: 100 })),
      }),
      answer: GroupModel,
      ...VERSIONED,
    }),
    delete: operation('deleteGroup', 'admin', 'Delete a group and its grants', {
      params: named,
      ...VERSIONED,
    }),
  },
  caller: {
    get: operation('getCaller', 'anybody', 'Show who you are', { answer: CallerModel }),
  },
  grants: {
    get: operation(
      'listGrants',
      'account',
      'List grants: all for server admins, otherwise those in your own namespace',
      {
        query: t.Object({
          ...pageParameters,
          subject: t.Optional({
            ...SubjectName,
            description: `Only grants to this subject: ${SubjectName.description}`,
          }),
          pattern: t.Optional({ ...Pattern, description: 'Only grants on exactly this pattern' }),
        }),
        answer: pageOf(GrantModel, 'Grants'),
      },
    ),
    put: operation('putGrant', 'account', 'Grant a role on the repositories that match a pattern', {
      description: `${IN_OWN_NAMESPACE} ${TO_WHOM}`,
      body: t.Object({ subject: SubjectName, pattern: Pattern, role: RoleName }),
      answer: GrantModel,
      creates: 'unless-it-exists',
      location: ({ subject, pattern }) => `?${new URLSearchParams({ subject, pattern })}`,
      errors: ['NOT_FOUND', 'NAME_INVALID', 'CONFLICT'],
    }),
    delete: operation('deleteGrant', 'account', 'Delete a grant', {
      description: IN_OWN_NAMESPACE,
      query: t.Object({ subject: SubjectName, pattern: Pattern }),
      errors: ['NOT_FOUND'],
    }),
  },
  access: {
    get: operation('explainAccess', 'account', 'Show what an account may do in a repository, and why', {
      description:
        'Without an account, shows what anonymous callers may do; this needs permission to delete in the repository. Only ' +
        'server admins may ask about accounts other than their own and their robots.',
      query: t.Object({
        account: t.Optional(AccountName),
        repository: RepositoryParam,
        credentialId: t.Optional(
          t.String({ maxLength: 64, description: 'The id of a token of the account' }),
        ),
      }),
      answer: Explained,
      errors: ['NOT_FOUND', 'NAME_INVALID'],
    }),
  },
  session: {
    post: operation('createSession', 'anybody', 'Sign in from a browser', {
      description: 'Sets the session cookie. Changing the password or disabling the user ends the session.',
      body: t.Object({
        username: Name,
        password: t.String({ maxLength: 1024, example: 'correct-horse-battery' }),
      }),
      answer: SessionModel,
      creates: 'always',
    }),
    get: operation('getSession', 'session', 'Show the session', { answer: SessionModel }),
    delete: operation('deleteSession', 'session', 'Sign out'),
  },
  'signing-keys': {
    get: operation('listSigningKeys', 'admin', 'List the signing keys', {
      query: PageQuery,
      answer: pageOf(SigningKeyModel, 'Keys, oldest first; the last one is in use'),
    }),
    post: operation(
      'rotateSigningKey',
      'admin',
      'Replace the signing key; the old keys stay valid until the last of their tokens expires',
      {
        query: t.Object({
          revokeOthers: t.Optional(
            t.Boolean({
              description: 'true revokes the other keys immediately, with all tokens that they signed',
            }),
          ),
        }),
        answer: NewKey,
        creates: 'always',
        location: ({ id }) => `/${id}`,
      },
    ),
  },
  'signing-keys/:id': {
    get: operation('getSigningKey', 'admin', 'Show a signing key', {
      params: t.Object({ id: t.String({ maxLength: 64 }) }),
      answer: SigningKeyModel,
      errors: ['NOT_FOUND'],
    }),
  },
  'accounts/:account/tokens': {
    get: operation('listTokens', 'self', 'List tokens', {
      params: ofAccount,
      query: PageQuery,
      answer: pageOf(TokenModel, 'Tokens'),
      errors: ['NOT_FOUND'],
    }),
    post: operation('createToken', 'self', 'Create a token', {
      params: ofAccount,
      body: t.Object({
        name: t.String({ minLength: 1, maxLength: 64, description: 'What it is for', example: 'laptop' }),
        expiresInDays: t.Optional(t.Integer({ minimum: 1, maximum: 3650 })),
        scope: t.Optional(
          t.Array(RuleModel, {
            maxItems: 100,
            description: 'Limits the token to some of what the account may do',
          }),
        ),
      }),
      answer: NewToken,
      creates: 'always',
      location: ({ id }) => `/${id}`,
      errors: ['NOT_FOUND', 'CONFLICT', 'NAME_INVALID'],
    }),
  },
  'accounts/:account/tokens/:id': {
    get: operation('getToken', 'self', 'Show a token', {
      params: ofToken,
      answer: TokenModel,
      errors: ['NOT_FOUND'],
    }),
    delete: operation('deleteToken', 'self', 'Revoke a token', { params: ofToken, errors: ['NOT_FOUND'] }),
  },
  audit: {
    get: operation('listAuditEntries', 'admin', 'Read the audit log', {
      description:
        'Denied requests and sign-ins are stored apart from changes, so that they cannot crowd those out. Repeats of an ' +
        'account from one address are one entry an hour, for denied requests one for each of the first 16 targets.',
      query: t.Object({
        ...pageParameters,
        kind: t.Optional(oneOf(KINDS, 'Changes, denied requests, sign-ins or failed sign-ins [change]')),
      }),
      answer: pageOf(Act, 'Entries, newest first'),
    }),
  },
}

export type AccountsRoutes = RoutesOf<typeof ROUTES>
