// An echo bot of grammY, unchanged, against a Bot API at another address.
//
//   node telegram_grammy.mjs URL TOKEN    answers `echo: TEXT` in bold to each message, and ends after the message `end`

import { Bot } from "grammy";

const [url, token] = process.argv.slice(2);
const bot = new Bot(token, { client: { apiRoot: url } });
bot.on("message:text", async (context) => {
  await context.replyWithChatAction("typing");
  await context.reply(`echo: ${context.message.text}`, { entities: [{ type: "bold", offset: 0, length: 4 }] });
  if (context.message.text === "end") await bot.stop();
});
setTimeout(() => process.exit(1), 60_000).unref();
await bot.start({ timeout: 2 });
