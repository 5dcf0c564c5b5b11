// Drives a fax service with the SDK of Sinch, as it comes from npm.
//
//     node client.js http://key:secret@host:port/
//
// The service is the example `mock_sinch_fax`: its head lists the numbers and the calls below `/mock/`. Exit
// status 0 only if all holds.

const assert = require('node:assert');
const fs = require('node:fs');
const http = require('node:http');
const os = require('node:os');
const path = require('node:path');
const { FaxService, FaxCallbackWebhooks } = require('@sinch/sdk-core');

const LIMIT = 15000;
const PROJECT = 'mock-project-7d21';
const [GOOD, OTHER, BUSY, FAILING] = ['+12015555555', '+12016666666', '+12015550602', '+12015550604'];
const URL_OF_FAX = 'https://example.invalid/fax.pdf';
const ONE = Buffer.from('%PDF-1.4\n<< /Type /Page >>\n%%EOF\n');
const TWO = Buffer.from('%PDF-1.4\n<< /Type /Page >>\n<< /Type /Page >>\n%%EOF\n');

const check = (condition, what) => {
  assert.ok(condition, what);
  console.log(`ok: ${what}`);
};

/** The first true value of `look`. */
const wait = async (what, look) => {
  for (const until = Date.now() + LIMIT; Date.now() < until; ) {
    const found = await look();
    if (found) {
      return found;
    }
    await new Promise((next) => setTimeout(next, 30));
  }
  throw new Error(`no ${what}`);
};

/** The status of a refusal. */
const refused = async (call) => {
  try {
    await call();
  } catch (error) {
    return error.statusCode;
  }
  throw new Error('it was not refused');
};

/** What the vendor's customer cannot see or do. */
const control = (base) => async (method, what, body) => {
  const headers = { 'content-type': 'application/json' };
  const answer = await fetch(`${base}/mock/${what}`, { method, headers, body: body && JSON.stringify(body) });
  assert.strictEqual(answer.status, 200, what);
  return answer.json();
};

/** A customer's web server: keeps headers and bodies as they came. */
const hook = async () => {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) {
      pieces.push(piece);
    }
    requests.push({ headers: request.headers, body: Buffer.concat(pieces) });
    response.end();
  });
  await new Promise((next) => server.listen(0, '127.0.0.1', next));
  server.unref();
  return { requests, url: `http://user:secret@127.0.0.1:${server.address().port}/fax` };
};

const connect = (base, keySecret, keyId) =>
  new FaxService({ projectId: PROJECT, keyId, keySecret, authHostname: base, faxHostname: base }).faxes;

const send = async (faxes, sendFaxRequestBody) => faxes.send({ sendFaxRequestBody });

const over = (faxes, id) =>
  wait(`end of ${id}`, async () => {
    const fax = await faxes.get({ id });
    return ['COMPLETED', 'FAILURE'].includes(fax.status) && fax;
  });

const refusals = async (base, url, faxes) => {
  const files = [{ file: ONE.toString('base64'), fileType: 'PDF' }];
  const stranger = connect(base, 'wr0ng', url.username);
  await assert.rejects(send(stranger, { to: GOOD, files }));
  check(true, 'a wrong secret is refused');
  check((await refused(() => send(faxes, { to: '+1', files }))) === 422, 'a wrong number is refused');
  check((await refused(() => send(faxes, { to: GOOD, files: [] }))) === 422, 'and a fax of nothing');
  check((await refused(() => faxes.get({ id: 'nothing' }))) === 404, 'and an unknown fax');
};

const sends = async (faxes, one, two) => {
  const [form] = await send(faxes, { to: GOOD, from: OTHER, filePaths: [one, two], maxRetries: 2 });
  check(form.to === GOOD && form.maxRetries === 2, 'a fax is taken as a form with two files');
  check(form.createTime instanceof Date, 'with its time');
  const done = await over(faxes, form.id);
  check(done.status === 'COMPLETED' && done.numberOfPages === 3, 'it arrives with three pages');
  check(done.pagesSentSuccessfully === 3 && done.price.amount === '0.21', 'and has its price');
  const both = await send(faxes, { to: [GOOD, OTHER], contentUrl: URL_OF_FAX });
  check(both.map((fax) => fax.to).join() === `${GOOD},${OTHER}`, 'one by URL goes to two numbers');
  const [json] = await send(faxes, {
    to: GOOD,
    files: [{ file: TWO.toString('base64'), fileType: 'PDF' }],
    labels: { job: 'j-4' },
    maxRetries: 0,
  });
  check(json.labels.job === 'j-4', 'one is taken as JSON with its label');
  const [url] = await send(faxes, { to: [GOOD], contentUrl: URL_OF_FAX, files: [] });
  check(url.contentUrl[0] === URL_OF_FAX, 'and one as JSON by URL');
  return [form, ...both, json, url].map((fax) => fax.id);
};

const failures = async (faxes, one) => {
  const ids = [];
  for (const [to, type, code, sent] of [
    [BUSY, 'CALL_ERROR', 17, 0],
    [FAILING, 'FAX_ERROR', 8, 1],
  ]) {
    const [fax] = await send(faxes, { to, filePaths: one, maxRetries: 1 });
    const failed = await over(faxes, fax.id);
    check(failed.status === 'FAILURE' && failed.errorType === type, `a fax fails with ${type}`);
    check(failed.errorCode === code && failed.pagesSentSuccessfully === sent, 'its code and pages');
    ids.push(fax.id);
  }
  return ids;
};

const lists = async (faxes, ids) => {
  const page = await faxes.list({ to: BUSY, direction: 'OUTBOUND', status: 'FAILURE' });
  check(page.data.map((fax) => fax.id).join() === ids[5], 'a fax is found by its number');
  const all = [];
  const since = new Date(Date.now() - 3600000);
  for await (const fax of faxes.list({ createTimeRange: { from: since }, pageSize: 2 })) {
    all.push(fax.id);
  }
  check(all.join() === ids.slice().reverse().join(), 'all are listed over pages, newest first');
};

const contents = async (faxes, id) => {
  const file = await faxes.downloadContent({ id });
  check(file.buffer.equals(TWO) && file.fileName.endsWith('.pdf'), 'the file of a fax comes back');
  await faxes.deleteContent({ id });
  await assert.rejects(faxes.downloadContent({ id }));
  check((await faxes.get({ id })).hasFile === 'false', 'it is deleted and gone');
};

const callbacks = async (faxes, mock, one) => {
  const { requests, url } = await hook();
  const reader = new FaxCallbackWebhooks();
  const ids = [];
  for (const callbackUrlContentType of ['application/json', 'multipart/form-data']) {
    const before = requests.length;
    const [fax] = await send(faxes, { to: GOOD, filePaths: one, callbackUrl: url, callbackUrlContentType });
    check(!fax.callbackUrl.includes('secret'), 'a password is not told back');
    const { headers, body } = await wait('callback', () => requests[before]);
    check(headers.authorization === `Basic ${btoa('user:secret')}`, 'but used');
    let told;
    if (callbackUrlContentType === 'application/json') {
      told = JSON.parse(body);
      check(told.file === ONE.toString('base64'), 'the end is told as JSON, with the file');
    } else {
      const form = await new Response(body, { headers: { 'content-type': headers['content-type'] } }).formData();
      const file = Buffer.from(await form.get('file').arrayBuffer());
      check(file.equals(ONE), 'the end is told as a form, with the file');
      told = Object.fromEntries(['event', 'eventTime', 'fax'].map((name) => [name, form.get(name)]));
    }
    const event = reader.parseEvent(told);
    check(event.event === 'FAX_COMPLETED' && event.fax.id === fax.id, 'and the SDK reads it');
    ids.push(fax.id);
  }
  await mock('POST', 'callback', { url });
  const from = OTHER;
  const id = await mock('POST', 'receive', { from, to: GOOD, file: TWO.toString('base64') });
  await wait('callback of the inbound', () => requests[2]);
  const page = await faxes.list({ direction: 'INBOUND' });
  check(page.data.length === 1 && page.data[0].id === id, 'a fax that came in is told and listed');
  check((await faxes.downloadContent({ id })).buffer.equals(TWO), 'and its file can be had');
  return ids;
};

const tokens = async (faxes, mock, id) => {
  const before = await mock('GET', 'tokens');
  check(before === 1, 'one token serves all requests');
  await mock('POST', 'expire-tokens', {});
  check((await faxes.get({ id })).id === id, 'an expired token is noticed');
  check((await mock('GET', 'tokens')) === 2, 'and replaced');
};

const main = async (url) => {
  const base = url.origin;
  const mock = control(base);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'faxbot-'));
  const [one, two] = ['one.pdf', 'two.pdf'].map((name) => path.join(folder, name));
  fs.writeFileSync(one, ONE);
  fs.writeFileSync(two, TWO);
  try {
    const faxes = connect(base, url.password, url.username);
    await refusals(base, url, faxes);
    check((await mock('GET', 'books')).length === 0, 'nothing of that is in the books');
    const ids = await sends(faxes, one, two);
    ids.push(...(await failures(faxes, one)));
    await lists(faxes, ids);
    await contents(faxes, ids[3]);
    ids.push(...(await callbacks(faxes, mock, one)));
    await tokens(faxes, mock, ids[0]);
    const books = await mock('GET', 'books');
    check(books.map((book) => book.id).join() === ids.join(), 'the books have each fax once');
    check(books[3].labels.job === 'j-4' && books[3].maxRetries === 0, 'under its own label');
    const files = books[0].files.map((file) => Buffer.from(file, 'base64'));
    check(files[0].equals(ONE) && files[1].equals(TWO), 'with its files');
    check(books[4].contentUrls.join() === URL_OF_FAX, 'and its URL');
    console.log('@sinch/fax: all checks hold');
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
};

main(new URL(process.argv[2])).catch((error) => {
  console.error(error);
  process.exit(1);
});
