"""Wording of the training conversations, in English and Chinese: {0} is the problem."""

OPENERS = {
    "en": ["", "", "", "", "Please ", "Hi! ", "Hello, ", "Can you help? ", "Question: ", "Quick one: ", "Homework: ", "OK, ", "Next: ", "Hey, "],
    "zh": ["", "", "", "", "请问,", "你好,", "您好!", "帮个忙,", "题目:", "老师好,", "作业题:", "好的,", "下一题:", "嗨,"],
}
CLOSERS = {
    "en": ["", "", "", "", "", " Thanks!", " Please.", " Show the answer.", " Thank you."],
    "zh": ["", "", "", "", "", "谢谢!", "谢谢。", "请给出答案。", "拜托了。"],
}
SOLVE = {
    "en": ["solve {0}", "Solve {0}.", "Solve the equation {0}", "Solve for x: {0}", "Find x: {0}", "find x if {0}", "What is x if {0}?",
           "Solve {0} for x.", "{0}", "{0}, x = ?", "What are the solutions of {0}?", "Find all solutions of {0}.", "Determine x from {0}.",
           "Work out x: {0}", "Find the roots of {0}", "For which x does {0} hold?", "Compute the solution of {0}", "Which x satisfies {0}?",
           "Calculate x when {0}", "Give the solutions to {0}", "Let {0}. Find x.", "I need x: {0}", "How do I solve {0}?", "Can you solve {0}?",
           "Solve the following equation: {0}"],
    "zh": ["解方程 {0}", "解方程:{0}", "求解 {0}", "求 x:{0}", "求方程 {0} 的解", "{0},求 x", "{0}", "已知 {0},求 x 的值。", "方程 {0} 的解是什么?",
           "{0} 的解是多少?", "请解 {0}", "计算方程 {0} 的根", "求出 {0} 的所有解", "怎么解 {0}?", "如果 {0},那么 x 等于多少?", "当 {0} 时,x 是多少?",
           "解一下 {0}", "帮我解方程 {0}", "请求出 {0} 的解。", "设 {0},求 x。", "x 满足 {0},x 是多少?", "解下列方程:{0}", "我想知道 {0} 的解", "能解 {0} 吗?"],
}
SYSTEM = {
    "en": ["solve the system {0}", "Solve {0}", "Solve for x and y: {0}", "Find x and y: {0}", "What are x and y if {0}?", "Solve the equations {0}",
           "{0}", "{0}. Find x and y.", "Solve simultaneously: {0}", "Find x and y such that {0}", "Determine x and y from {0}", "Solve this system: {0}",
           "Which x and y satisfy {0}?", "Work out x and y: {0}", "Let {0}. What are x and y?", "Give x and y for {0}", "Solve the linear system {0}",
           "Two equations: {0}. Solve them.", "Compute x and y when {0}", "I need x and y: {0}", "How do I solve {0}?", "Can you solve {0}?"],
    "zh": ["解方程组 {0}", "解方程组:{0}", "求 x 和 y:{0}", "求解 {0}", "已知 {0},求 x 和 y。", "{0}", "{0},求 x、y", "方程组 {0} 的解是什么?",
           "求方程组 {0} 的解", "如果 {0},x 和 y 是多少?", "请解 {0}", "帮我解 {0}", "怎么解 {0}?", "能解 {0} 吗?", "x、y 满足 {0},求它们的值。",
           "解下列方程组:{0}", "联立求解:{0}", "设 {0},求 x 和 y 的值。", "计算方程组 {0}", "请求出 {0} 的解。", "解一下 {0}", "求出 x 和 y:{0}"],
}
ARITHMETIC = {
    "en": ["what is {0}?", "What is {0}?", "Calculate {0}", "Compute {0}.", "{0}", "{0} =", "{0} = ?", "How much is {0}?", "Work out {0}", "Evaluate {0}",
           "Find the value of {0}", "What does {0} equal?", "Tell me {0}", "Give me the result of {0}", "What do you get for {0}?", "Can you compute {0}?",
           "I need the value of {0}", "Please calculate {0}", "What's {0}?", "Solve {0}", "Do this sum: {0}", "Determine {0}"],
    "zh": ["{0} 等于多少?", "{0} 是多少?", "计算 {0}", "计算:{0}", "{0}", "{0} =", "{0} = ?", "求 {0}", "求 {0} 的值", "算一下 {0}", "{0} 等于几?", "请计算 {0}",
           "请算 {0}", "帮我算 {0}", "{0} 的结果是什么?", "{0} 得多少?", "我想知道 {0} 等于多少", "求值:{0}", "口算 {0}", "能算 {0} 吗?", "告诉我 {0}", "试算 {0}"],
}
TRIANGLE = {
    "en": ["the angles of a triangle are {0}. Find them.", "A triangle has angles {0}. What are the angles?", "The three angles of a triangle are {0}. Find x.",
           "Triangle with angles {0}: find each angle.", "In a triangle the angles are {0}. Find each angle.", "If a triangle's angles are {0}, what are they in degrees?",
           "Angles {0} form a triangle. How large is each?", "A triangle's interior angles measure {0}. Find them.", "Find the angles of a triangle with angles {0}",
           "Given a triangle with angles {0}, find x and the angles.", "Triangle: {0}. Angles?", "What are the angles of a triangle if they are {0}?",
           "The interior angles of a triangle are {0}. Compute them.", "Let the angles of a triangle be {0}. Determine them.", "A triangle: angles {0}. Solve.",
           "Suppose a triangle has angles {0}. How big are they?", "Compute the triangle angles {0}", "How many degrees are the angles {0} of a triangle?",
           "In triangle ABC the angles are {0}. Find A, B and C.", "Three angles {0} of one triangle: find them."],
    "zh": ["三角形的三个角是 {0},求各角。", "一个三角形的内角为 {0},求每个角。", "三角形的角分别是 {0},各是多少度?", "已知三角形三个内角为 {0},求 x。", "三角形内角 {0},求度数。",
           "若三角形的三个角为 {0},求各角的度数。", "三角形 ABC 的三个内角为 {0},求 A、B、C。", "三角形的三个内角是 {0},分别是多少?", "求三角形的角:{0}", "三角形:{0},求角度。",
           "一个三角形的角是 {0},它们各多大?", "设三角形的内角为 {0},求它们。", "如果三角形的角是 {0},每个角多少度?", "角 {0} 组成一个三角形,各多少度?", "计算三角形的三个角 {0}",
           "三角形三个角的大小是 {0},求它们。", "在三角形中,三个角是 {0},求角度。", "三角形内角分别为 {0},请计算。", "给定三角形的角 {0},求度数。", "请问三角形的角 {0} 各是多少?"],
}
PERCENT = {
    "en": ["what is {0}% of {1}?", "What is {0}% of {1}?", "Calculate {0}% of {1}", "Find {0}% of {1}.", "{0}% of {1}", "{0} percent of {1}", "How much is {0}% of {1}?",
           "Compute {0} percent of {1}", "What is {0} percent of {1}?", "{0}% of {1} = ?", "Give me {0}% of {1}", "Tell me {0}% of {1}", "I need {0}% of {1}",
           "Of {1} people, {0}% agree. How many?", "A price of {1} has {0}% tax. How much is the tax?", "There are {1} seats and {0}% are taken. How many?",
           "Work out {0}% of {1}", "Take {0}% of {1}", "What's {0}% of {1}?", "A box has {1} balls, {0}% are red. How many are red?"],
    "zh": ["{1} 的 {0}% 是多少?", "求 {1} 的 {0}%", "计算 {1} 的 {0}%", "{1} 的 {0}%", "{1} 的 {0}% 等于多少?", "{1} 的百分之 {0} 是多少?", "求 {1} 的百分之 {0}", "{0}% 的 {1} 是多少?",
           "算一下 {1} 的 {0}%", "请计算 {1} 的 {0}%", "{1} 人中有 {0}% 同意,有多少人?", "盒里有 {1} 个球,{0}% 是红球,红球多少个?", "有 {1} 个座位,坐了 {0}%,坐了多少个?",
           "价格 {1} 元,税 {0}%,税是多少元?", "{1} × {0}% = ?", "帮我算 {1} 的 {0}%", "我想知道 {1} 的 {0}%", "{1} 的 {0}% 是几?", "取 {1} 的 {0}%", "告诉我 {1} 的 {0}%"],
}
# Word problems: text with {0} {1} {2}, and the expression it means.
WORD = {
    "en": [("{n} has {0} apples and buys {1} more. How many now?", "{0}+{1}"), ("{n} has {0} apples and eats {1}. How many are left?", "{0}-{1}"),
           ("{n} has {0} coins, finds {1} and loses {2}. How many coins now?", "{0}+{1}-{2}"), ("One pen costs {0}. How much do {1} pens cost?", "{0}*{1}"),
           ("{n} buys {0} books at {1} each. What is the total?", "{0}*{1}"), ("A car drives {0} km per hour for {1} hours. How far?", "{0}*{1}"),
           ("{0} sweets are shared by {1} children. How many each?", "{0}/{1}"), ("There are {0} rows of {1} chairs. How many chairs?", "{0}*{1}"),
           ("A train has {0} people, {1} get off and {2} get on. How many now?", "{0}-{1}+{2}"), ("{n} reads {0} pages a day. How many in {1} days?", "{0}*{1}"),
           ("{n} saves {0} each week for {1} weeks and then spends {2}. How much is left?", "{0}*{1}-{2}"), ("{0} km in {1} hours: what is the speed?", "{0}/{1}"),
           ("A shop had {0} eggs, sold {1}. How many remain?", "{0}-{1}"), ("{n} is {0}. How old in {1} years?", "{0}+{1}"), ("{n} pays {0} for {1} tickets. What does one cost?", "{0}/{1}"),
           ("A box holds {0} balls. How many balls in {1} boxes?", "{0}*{1}"), ("{n} had {0} stamps and got {1} and then {2}. How many in all?", "{0}+{1}+{2}"),
           ("A farmer has {0} hens and {1} ducks. How many birds?", "{0}+{1}"), ("A rope of {0} m is cut into {1} equal parts. How long is one?", "{0}/{1}"),
           ("{n} buys {0} cups at {1} and a pot for {2}. Total?", "{0}*{1}+{2}"), ("A rectangle is {0} by {1}. What is its area?", "{0}*{1}"),
           ("{0} birds sit in a tree, {1} fly away. How many stay?", "{0}-{1}")],
    "zh": [("{n}有 {0} 个苹果,又买了 {1} 个,现在有几个?", "{0}+{1}"), ("{n}有 {0} 个苹果,吃了 {1} 个,还剩几个?", "{0}-{1}"), ("{n}有 {0} 元,得到 {1} 元,花了 {2} 元,还有多少元?", "{0}+{1}-{2}"),
           ("一支笔 {0} 元,{1} 支多少元?", "{0}*{1}"), ("{n}买了 {0} 本书,每本 {1} 元,一共多少元?", "{0}*{1}"), ("汽车每小时走 {0} 公里,{1} 小时走多远?", "{0}*{1}"),
           ("{0} 颗糖分给 {1} 个孩子,每人几颗?", "{0}/{1}"), ("有 {0} 排椅子,每排 {1} 把,一共多少把?", "{0}*{1}"), ("车上有 {0} 人,下去 {1} 人,上来 {2} 人,现在多少人?", "{0}-{1}+{2}"),
           ("{n}每天看 {0} 页书,{1} 天看多少页?", "{0}*{1}"), ("{n}每周存 {0} 元,存了 {1} 周,花了 {2} 元,还剩多少?", "{0}*{1}-{2}"), ("{1} 小时走了 {0} 公里,速度是多少?", "{0}/{1}"),
           ("商店有 {0} 个鸡蛋,卖了 {1} 个,还剩多少?", "{0}-{1}"), ("{n}今年 {0} 岁,{1} 年后几岁?", "{0}+{1}"), ("{1} 张票共 {0} 元,一张多少元?", "{0}/{1}"), ("一盒有 {0} 个球,{1} 盒有多少个?", "{0}*{1}"),
           ("{n}有 {0} 张邮票,先得 {1} 张,又得 {2} 张,一共几张?", "{0}+{1}+{2}"), ("农场有 {0} 只鸡和 {1} 只鸭,一共几只?", "{0}+{1}"), ("{0} 米的绳子分成 {1} 段,每段几米?", "{0}/{1}"),
           ("{n}买 {0} 个杯子,每个 {1} 元,还买了 {2} 元的壶,一共多少元?", "{0}*{1}+{2}"), ("长方形长 {0} 宽 {1},面积多少?", "{0}*{1}"), ("树上有 {0} 只鸟,飞走 {1} 只,还剩几只?", "{0}-{1}")],
}
NAMES = {"en": ["Tom", "Anna", "Ben", "Lily", "Sam", "Mia", "Max", "Eva"], "zh": ["小明", "小红", "小刚", "小丽", "小华", "小美", "小东", "小林"]}
GREETING = {
    "en": ["hi", "Hi!", "Hello", "hello!", "Hey", "hey there", "Good morning", "Good evening!", "Hello there", "Hi, how are you?", "How are you?", "Hi there!", "Greetings", "Yo",
           "Good day", "Hello, how are you?", "hi hi", "Good afternoon", "Nice to meet you", "Howdy", "Are you there?", "Hello, world!"],
    "zh": ["你好", "你好!", "您好", "嗨", "早上好", "晚上好", "下午好", "你好吗?", "大家好", "哈喽", "嗨!", "早", "你好呀", "在吗?", "你在吗", "很高兴认识你", "您好!", "中午好", "你好啊", "喂", "哈喽!", "最近好吗?"],
}
ABILITY = {
    "en": ["what can you do?", "What can you do?", "Who are you?", "who are you", "What are you?", "Help", "help me", "What do you know?", "Tell me about yourself", "How can you help me?",
           "What is this?", "Introduce yourself", "What can I ask you?", "What are your skills?", "Can you help me?", "What do you do?", "What problems can you solve?", "Are you a robot?",
           "What is your name?", "Which topics do you know?", "What model are you?"],
    "zh": ["你会什么?", "你能做什么?", "你是谁?", "你是谁", "你能帮我吗?", "帮助", "介绍一下你自己", "你知道什么?", "我可以问你什么?", "你有什么本领?", "你叫什么名字?", "你是机器人吗?", "你能干什么?", "你会做什么题?",
           "你是什么模型?", "自我介绍一下", "你可以做什么?", "能做什么?", "你懂什么?", "你的功能是什么?", "你能解什么题?"],
}
THINGS = {
    "en": ["France", "Japan", "the moon", "Paris", "Shakespeare", "a cat", "love", "music", "the weather", "football", "history", "China", "pizza", "the sea", "a dog", "cars", "Mars",
           "Einstein", "the ocean", "winter", "trees", "the president", "Berlin", "a dragon", "coffee", "a robot", "chess", "films", "India", "stars"],
    "zh": ["法国", "日本", "月亮", "巴黎", "莎士比亚", "猫", "爱情", "音乐", "天气", "足球", "历史", "中国", "披萨", "大海", "狗", "汽车", "火星", "爱因斯坦", "海洋", "冬天", "树", "总统", "柏林", "龙", "咖啡",
           "机器人", "象棋", "电影", "印度", "星星"],
}
OTHER = {
    "en": ["what is the capital of {0}?", "Tell me about {0}", "Write a poem about {0}", "Write a story about {0}", "Who is {0}?", "What is {0}?", "Do you like {0}?", "Tell me a joke about {0}",
           "Translate {0} into German", "Where is {0}?", "Explain {0} to me", "Why is {0} so famous?", "When was {0} born?", "How old is {0}?", "Draw {0}", "What do you think of {0}?", "Write code for {0}",
           "Summarise the history of {0}", "What is the best thing about {0}?", "How do I cook {0}?", "Sing a song about {0}", "What colour is {0}?", "Give me news about {0}"],
    "zh": ["{0}的首都是哪里?", "介绍一下{0}", "写一首关于{0}的诗", "写一个{0}的故事", "{0}是谁?", "{0}是什么?", "你喜欢{0}吗?", "讲一个{0}的笑话", "把{0}翻译成英文", "{0}在哪里?", "解释一下{0}", "{0}为什么有名?",
           "{0}什么时候出生?", "{0}多大了?", "画一个{0}", "你觉得{0}怎么样?", "写一段{0}的代码", "总结{0}的历史", "{0}最好的地方是什么?", "怎么做{0}?", "唱一首{0}的歌", "{0}是什么颜色?", "有{0}的新闻吗?"],
}
REPLY = {
    "en": {"greet": "Hello! Give me a maths problem and I will think it through.",
           "able": "I am a tiny Qwen3 that solves small maths problems: arithmetic, linear and quadratic equations, systems of two equations, triangle angles, percentages and simple word problems.",
           "other": "I only know small maths problems, such as arithmetic and equations, so I cannot answer that."},
    "zh": {"greet": "你好!给我一道数学题,我会一步一步想。",
           "able": "我是一个很小的 Qwen3,会解简单的数学题:算术、一次和二次方程、二元方程组、三角形的角、百分数和简单应用题。",
           "other": "我只会简单的数学题,比如算术和方程,所以这个问题我答不了。"},
}
THINK = {
    "en": {"greet": "This is a greeting. I greet back.", "able": "The user asks what I am. I say what I can do.", "other": "This is not a maths problem I know. I say so honestly.",
           "tool": "I can use the calculator for this.", "result": "The calculator gives {0}."},
    "zh": {"greet": "这是问候,我也问好。", "able": "用户问我是谁,我说明我会什么。", "other": "这不是我会的数学题,我如实说。", "tool": "这个可以用计算器算。", "result": "计算器给出 {0}。"},
}
FOLLOW = {
    "en": {"double_large": ["now double the larger root", "Double the larger root.", "What is twice the larger root?", "Now double the bigger solution"],
           "double_small": ["now double the smaller root", "Double the smaller root.", "What is twice the smaller root?"],
           "sum": ["now add the two roots", "What is the sum of the roots?", "Add both solutions."],
           "large": ["which root is larger?", "What is the larger root?", "Only the larger root, please."],
           "small": ["which root is smaller?", "What is the smaller root?"],
           "double": ["now double it", "Double that.", "What is twice that?", "And twice that?"],
           "plus": ["now add {0}", "Add {0} to that.", "And plus {0}?", "What if you add {0}?"],
           "minus": ["now subtract {0}", "Take away {0}.", "And minus {0}?"],
           "thanks": ["thanks", "Thank you!", "Great, thanks.", "ok thanks", "Good job!"]},
    "zh": {"double_large": ["把较大的根乘以二", "较大的根的两倍是多少?", "现在把大的根加倍"], "double_small": ["把较小的根乘以二", "较小的根的两倍是多少?"],
           "sum": ["两个根的和是多少?", "把两个根相加", "两根之和?"], "large": ["哪个根较大?", "较大的根是多少?"], "small": ["哪个根较小?", "较小的根是多少?"],
           "double": ["把它加倍", "它的两倍是多少?", "再乘以二"], "plus": ["再加 {0}", "加上 {0} 呢?", "现在加 {0}"], "minus": ["再减 {0}", "减去 {0} 呢?", "现在减 {0}"],
           "thanks": ["谢谢", "谢谢你!", "太好了,谢谢", "好的,谢谢", "真棒!"]},
}
THANKS = {"en": "You are welcome! Give me another problem if you like.", "zh": "不客气!还有题目请告诉我。"}
